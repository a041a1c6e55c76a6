"""MMBench-it: multiple choice on photographs, all rotations of the options; see README.md."""

from ndino.evaluation.tasks.mmbench import MMBench

# The functions that the YAML calls.
globals().update(MMBench("it").functions())
