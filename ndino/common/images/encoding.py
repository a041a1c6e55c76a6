"""Images as bytes, and in a text: a page that loads nothing, a request to a server."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image


def encode_image(image: Image.Image, kind: str, **settings: Any) -> bytes:
    """The image as the content of a file.

    Args:
        kind: the format by Pillow's name, such as ``PNG``.
        settings: Pillow's for writing it.
    """
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def data_url(image: Image.Image, kind: str, **settings: Any) -> str:
    """The image as a data URL; takes what `encode_image` takes."""
    content = base64.b64encode(encode_image(image, kind, **settings)).decode()
    return f"data:image/{kind.lower()};base64,{content}"
