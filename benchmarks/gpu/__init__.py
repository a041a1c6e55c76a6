"""What can only be seen on a GPU, in eight minutes: ``python -m benchmarks.gpu``."""
