"""Why questions cannot be read."""

from __future__ import annotations

from ndino.common.errors import UserError


class QuestionsError(UserError):
    """Data that cannot be read; the message names the file, and the row and field where there is one."""
