"""MTVQA-it: questions on text in images; see README.md."""

from ndino.evaluation.tasks.mtvqa import Mtvqa

# The functions that the YAML calls.
globals().update(Mtvqa("it").functions())
