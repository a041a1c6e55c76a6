"""POPE-it: is an object in the image, yes or no; see README.md."""

from ndino.evaluation.tasks.pope import Pope

# The functions that the YAML calls.
globals().update(Pope("it").functions())
