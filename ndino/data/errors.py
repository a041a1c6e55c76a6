"""The error of the data commands."""

from ndino.common.errors import UserError


class DataError(UserError):
    """Input or output that a data command cannot use; the message says what is wrong and the remedy."""
