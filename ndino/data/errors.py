"""What the data commands tell a user who can put it right."""

from ndino.common.errors import UserError


class DataError(UserError):
    """Input or output of a data command that cannot be used."""
