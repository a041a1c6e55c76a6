"""m-WildVision-it: open requests of users; see README.md."""

from ndino.evaluation.tasks.m_wildvision import MWildVision

# The functions that the YAML calls.
globals().update(MWildVision("it").functions())
