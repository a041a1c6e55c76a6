"""GQA-it: open questions on photographs; see README.md."""

from ndino.evaluation.tasks.gqa import Gqa

# The functions that the YAML calls.
globals().update(Gqa("it").functions())
