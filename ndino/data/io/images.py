"""Decide on the whole file whether an image can be used for training, before it is stored."""

from __future__ import annotations

from PIL import Image

from ndino.common.images import FORMATS, UnreadableImageError, encode_image, opened_image, to_rgb, turn_of

KEPT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
CONVERTED_TO_PNG = tuple(sorted({*FORMATS} - {*KEPT}))
# The Pillow modes that are stored in PNG as they are; others are converted first.
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")


class UnusableImageError(ValueError):
    """An image that cannot be used; ``reason`` can be counted, and is that of `ndino.common.images`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def usable_image(content: bytes, *, max_pixels: int = 50_000_000, min_side: int = 16) -> tuple[bytes, str]:
    """The bytes to store and the file suffix: ``.jpg``, ``.png`` or ``.webp``.

    JPEG, PNG and WebP are stored unchanged. The other `FORMATS` become PNG, upright; of an animation, the
    first frame.

    Args:
        max_pixels: largest width times height; checked before anything is decoded.
        min_side: smallest width and height in pixels.

    Raises:
        UnusableImageError: the file is of another kind, torn, broken, too small or too large.
    """
    try:
        with opened_image(content, FORMATS, max_pixels) as image:
            if min(image.size) < min_side:
                raise UnreadableImageError(f"it has fewer than {min_side} pixels a side")
            turn = turn_of(image)
            image.load()
            if image.format in CONVERTED_TO_PNG:
                return _png(image if turn is None else image.transpose(turn)), ".png"
            # Pillow calls a JPEG file with several images, which some cameras write, MPO.
            return content, KEPT.get(image.format or "", KEPT["JPEG"])
    except UnreadableImageError as error:
        raise UnusableImageError(error.kind) from None


def _png(image: Image.Image) -> bytes:
    if image.mode == "PA":
        image = image.convert("RGBA")
    elif image.mode not in PNG_MODES:
        image = to_rgb(image)
        image.info.pop("icc_profile", None)  # of the colours that it had
    return encode_image(image, "PNG")
