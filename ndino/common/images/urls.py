"""Images in a text: a page that loads nothing, a request to a server."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image


def data_url(image: Image.Image, kind: str, **settings: Any) -> str:
    """The image as a data URL.

    Args:
        kind: the format by Pillow's name, such as ``PNG``.
        settings: Pillow's for writing it.
    """
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
