"""ScienceQA-it: multiple choice from school science; see README.md."""

from ndino.evaluation.tasks.science_qa import ScienceQA

# The functions that the YAML calls.
globals().update(ScienceQA("it").functions())
