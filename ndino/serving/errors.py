"""The error of an export that cannot be made."""

from __future__ import annotations

from ndino.common.errors import UserError


class ExportError(UserError):
    """A model that cannot be exported, or a folder that cannot take it; the message names the remedy."""
