"""EXAMS-V-it: scanned multiple-choice exam questions; see README.md."""

from ndino.evaluation.tasks.exams_v import ExamsV

# The functions that the YAML calls.
globals().update(ExamsV("it").functions())
