"""What can be wrong with an upstream tree."""

from __future__ import annotations


class UpstreamError(RuntimeError):
    """An upstream tree that cannot be used as it is; the message names the file and the remedy."""


class Unreachable(UpstreamError):
    """An upstream repository that cannot be fetched from here; the message is the reason alone."""
