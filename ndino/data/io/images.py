"""Decide on the whole file whether an image can be used for training, before it is stored."""

from __future__ import annotations

import io

from PIL import Image

from ndino.common.images import BROKEN_IMAGE

KEPT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
CONVERTED_TO_PNG = ("GIF", "BMP", "TIFF")
READABLE = (*KEPT, *CONVERTED_TO_PNG)
# The Pillow modes that PNG can store; others are converted first.
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


class UnusableImageError(ValueError):
    """An image that cannot be used; ``reason`` is short and stable, so that it can be counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def usable_image(content: bytes, *, max_pixels: int = 50_000_000, min_side: int = 16) -> tuple[bytes, str]:
    """The bytes to store and the file suffix: ``.jpg``, ``.png`` or ``.webp``.

    JPEG, PNG and WebP are stored unchanged. GIF, BMP and TIFF become PNG; of an animation, the first frame.

    Args:
        max_pixels: largest width times height; checked before anything is decoded.
        min_side: smallest width and height in pixels.

    Raises:
        UnusableImageError: the file is of another kind, torn, broken, too small or too large.
    """
    if not content:
        raise UnusableImageError("empty file")
    try:
        with Image.open(io.BytesIO(content), formats=READABLE) as image:
            if image.width * image.height > max_pixels:
                raise UnusableImageError("too many pixels")
            if min(image.size) < min_side:
                raise UnusableImageError("too small")
            image.load()
            if image.format in CONVERTED_TO_PNG:
                return _png(image), ".png"
            # Pillow calls a JPEG file with several images, which some cameras write, MPO.
            return content, KEPT.get(image.format or "", KEPT["JPEG"])
    except UnusableImageError:
        raise
    except Image.UnidentifiedImageError:
        raise UnusableImageError(_kind(content)) from None
    except Image.DecompressionBombError:
        raise UnusableImageError("too many pixels") from None
    except BROKEN_IMAGE:
        raise UnusableImageError("broken image") from None


def _png(image: Image.Image) -> bytes:
    if image.mode not in PNG_MODES:
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _kind(content: bytes) -> str:
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml")) or b"<svg" in start:
        return "SVG"
    if start.startswith(b"<"):
        return "HTML, not an image"
    return "not an image"
