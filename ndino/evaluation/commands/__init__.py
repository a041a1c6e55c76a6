"""The commands ``ndino evaluate`` and ``ndino rescore``."""
