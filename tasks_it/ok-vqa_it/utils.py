"""OK-VQA-it: open questions that need outside knowledge, ten answers each; see README.md."""

from ndino.evaluation.tasks.ok_vqa import OkVqa

# The functions that the YAML calls.
globals().update(OkVqa("it").functions())
