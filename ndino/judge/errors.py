"""What a user of the judge can put right."""

from __future__ import annotations

from ndino.common.errors import UserError


class JudgeError(UserError):
    """A judge, its verdicts or its labelled rows cannot be used; the message says why and the remedy."""
