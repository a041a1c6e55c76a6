"""MME-it: two questions about each image, answered yes or no; see README.md."""

from ndino.evaluation.tasks.mme import Mme

# The functions that the YAML calls.
globals().update(Mme("it").functions())
