"""What the data commands tell a user who can put it right."""


class DataError(ValueError):
    """Something that the user can put right, on one line with the remedy."""
