"""The error that the converter raises, and libraries' errors turned into it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ndino.common.errors import UserError, reason_of


class ConversionError(UserError):
    """A checkpoint that cannot be converted; the message names the file, key or field and the remedy."""


@contextlib.contextmanager
def settings_of(path: Path | str) -> Iterator[None]:
    """Turn any error that a library raises on the settings in ``path`` into a ConversionError.

    transformers checks some fields and trips over others: a wrong type is one of a dozen kinds of error.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise ConversionError(
            f"{path}: cannot be used: {reason_of(error)} (remedy: correct the field, or copy the file again)"
        ) from error
