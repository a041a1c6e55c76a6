"""What can be wrong with an evaluation before it has begun."""

from __future__ import annotations


class SetupError(ValueError):
    """Something is missing or does not fit; the message names it and the remedy."""
