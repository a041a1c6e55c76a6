"""Is this an image that can be trained on? Decided on the whole file, before it is stored."""

from __future__ import annotations

import io

from PIL import Image

from ndino.common.images import BROKEN_IMAGE

KEPT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
MADE_PNG = ("GIF", "BMP", "TIFF")
READABLE = (*KEPT, *MADE_PNG)
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


class UnusableImageError(ValueError):
    """An image that is refused; ``reason`` is short and stable, to count by."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def usable_image(content: bytes, *, max_pixels: int = 50_000_000, min_side: int = 16) -> tuple[bytes, str]:
    """The bytes to keep and the file's suffix: ``.jpg``, ``.png`` or ``.webp``.

    JPEG, PNG and WebP are kept as they are; GIF, BMP and TIFF become PNG, of an animation its first frame.

    Args:
        max_pixels: width times height; more is refused before anything is decoded.
        min_side: pixels; less is refused.

    Raises:
        UnusableImageError: another kind of file, torn or broken, too small or too large.
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
            if image.format in MADE_PNG:
                return _png(image), ".png"
            # A JPEG of several images, as cameras write them, calls itself MPO.
            return content, KEPT.get(image.format, KEPT["JPEG"])
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
        return "HTML, no image"
    return "not an image"
