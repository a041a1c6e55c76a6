"""The errors of an evaluation that a user can put right."""

from __future__ import annotations

from ndino.common.errors import UserError


class SetupError(UserError):
    """Something is missing or does not fit; the message says what, and the remedy."""


class EndpointError(SetupError):
    """A server answers none of the questions, whatever they are."""
