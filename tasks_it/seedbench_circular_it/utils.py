"""SEED-Bench-it: the same questions with all rotations of the options; see README.md."""

from ndino.evaluation.tasks.seed_bench import SeedBenchCircular

# The functions that the YAML calls.
globals().update(SeedBenchCircular("it").functions())
