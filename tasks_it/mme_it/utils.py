"""MME-it: two questions an image, yes and no; see README.md."""

from ndino.evaluation.tasks.mme import Mme

# The functions that the YAML calls.
globals().update(Mme("it").functions())
