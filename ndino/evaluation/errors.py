"""The error for what is wrong before an evaluation starts."""

from __future__ import annotations

from ndino.common.errors import UserError


class SetupError(UserError):
    """Something is missing or does not fit; the message says what, and the remedy."""
