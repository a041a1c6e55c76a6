"""The error that the converter raises."""


class ConversionError(ValueError):
    """A checkpoint that cannot be converted; the message names the file, key or field and the remedy."""
