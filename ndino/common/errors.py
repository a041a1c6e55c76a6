"""Errors that a user can fix, and an error's message as one line."""

from __future__ import annotations


class UserError(ValueError):
    """Something that the user can put right: one line that says what is wrong, where, and the remedy."""


def reason_of(error: BaseException) -> str:
    """An error's message on one line, or its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
