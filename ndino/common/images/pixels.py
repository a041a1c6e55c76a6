"""What an image file's pixels become: RGB in 8 bits, whatever the file holds.

docs/images.md has a table of what each kind of file becomes.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageCms

if TYPE_CHECKING:
    import numpy as np

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
SIXTEEN_BITS = 65535
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
_WHITE_IS_ZERO = 0


def to_rgb(image: Image.Image, background: Colour = WHITE) -> Image.Image:
    """The pixels in RGB; not turned by EXIF, and of several frames the current one.

    Args:
        background: what shows where the image is transparent.

    Raises:
        BROKEN_IMAGE: it cannot be decoded to its end, or no pixel is a finite number.
    """
    image.load()
    if image.mode == "CMYK":
        return _from_cmyk(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep_grey(image, background)
    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def _from_cmyk(image: Image.Image) -> Image.Image:
    if profile := image.info.get("icc_profile"):
        try:
            shown = ImageCms.profileToProfile(
                image,
                io.BytesIO(profile),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            assert shown is not None  # unless it changes the image in place
            return shown
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile, or one for another kind of colour: as without one
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image, background: Colour) -> Image.Image:
    """Grey values of 16 or 32 bits or floating point, scaled to bytes."""
    import numpy as np

    values = np.asarray(image)
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        top = 2 ** _only(tags.get(_BITS_PER_SAMPLE, 16)) - 1  # TIFF also has 12 bits
        grey = _rounded(np.arange(SIXTEEN_BITS + 1), 0, top)[values]
    else:
        low, high = (0, SIXTEEN_BITS) if _is_netpbm_grey(image) else _range_of(values)
        grey = _rounded(values, low, high)
    if _only(tags.get(_PHOTOMETRIC, 1)) == _WHITE_IS_ZERO:  # Pillow turns bytes around, but not these
        grey = 255 - grey
    shown = Image.fromarray(grey).convert("RGB")
    key = image.info.get("transparency")
    if isinstance(key, int):
        shown.paste(background, mask=Image.fromarray(np.where(values == key, 255, 0).astype(np.uint8)))
    return shown


def _is_netpbm_grey(image: Image.Image) -> bool:
    # Pillow scales these itself to 16 bits, and says so by the mode "I".
    return image.format == "PPM" and image.mode == "I"


def _range_of(values: np.ndarray) -> tuple[float, float]:
    """The values that are black and white, where no standard says them.

    0 and 1 for floating point, else 0 and 255, else 0 and 65535, whichever is the first that holds all
    values; if none does, the smallest and the largest.
    """
    import numpy as np

    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError("no pixel is a finite number")
    low, high = float(finite.min()), float(finite.max())
    for top in (1, 255, SIXTEEN_BITS) if values.dtype.kind == "f" else (255, SIXTEEN_BITS):
        if low >= 0 and high <= top:
            return 0, top
    return low, high


def _rounded(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """``low`` to ``high`` as 0 to 255, uint8; what is no number is black."""
    import numpy as np

    finite = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return np.rint(np.clip((finite - low) * (255 / ((high - low) or 1)), 0, 255)).astype(np.uint8)


def _only(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)
