"""LLaVA-Bench-it: long answers on photographs; see README.md."""

from ndino.evaluation.tasks.llava_bench import LlavaBench

# The functions that the YAML calls.
globals().update(LlavaBench("it").functions())
