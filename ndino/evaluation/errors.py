"""What can be wrong with an evaluation before it has begun."""

from __future__ import annotations

from ndino.common.errors import UserError


class SetupError(UserError):
    """Something is missing or does not fit; the message names it and the remedy."""
