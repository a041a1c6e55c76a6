"""M3Exam-it: questions of national exams with images; see README.md."""

from ndino.evaluation.tasks.m3exam import M3Exam

# The functions that the YAML calls.
globals().update(M3Exam("it").functions())
