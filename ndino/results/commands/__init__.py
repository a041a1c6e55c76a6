"""The commands ``ndino compare`` and ``ndino report``."""
