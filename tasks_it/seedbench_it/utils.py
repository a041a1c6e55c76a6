"""SEED-Bench-it: multiple choice on photographs; see README.md."""

from ndino.evaluation.tasks.seed_bench import SeedBench

# The functions that the YAML calls.
globals().update(SeedBench("it").functions())
