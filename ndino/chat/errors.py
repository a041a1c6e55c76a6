"""What a user of the chat page can put right."""

from __future__ import annotations

from ndino.common.errors import UserError


class ChatError(UserError):
    """What the page asks for cannot be done; the page shows the message."""
