"""XM3600-it: captions of photographs; see README.md."""

from ndino.evaluation.tasks.xm3600 import Xm3600

# The functions that the YAML calls.
globals().update(Xm3600("it").functions())
