"""The error that the converter raises."""

from ndino.common.errors import UserError


class ConversionError(UserError):
    """A checkpoint that cannot be converted; the message names the file, key or field and the remedy."""
