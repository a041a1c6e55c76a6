"""The parts of ``python -m ndino evaluate``: models, benchmarks, and the folder that keeps results."""
