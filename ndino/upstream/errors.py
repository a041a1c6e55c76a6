"""Errors about upstream trees."""

from __future__ import annotations

from ndino.common.errors import UserError


class UpstreamError(UserError):
    """An upstream tree or patch that cannot be used; the message names the file and the remedy."""


class Unreachable(UpstreamError):
    """An upstream repository that cannot be fetched from here; the message is just the reason."""
