"""The images of the page: checked before they are decoded, and held in memory alone."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import PurePath
from threading import Lock

from PIL import Image

from ndino.chat.errors import ChatError
from ndino.common.images import (
    FORMATS,
    encode_image,
    image_digest,
    image_sha256,
    opened_image,
    read_image,
)

# Less than the limit of training: here an image is decoded while somebody waits. 300 MB in RGB.
MAX_PIXELS = 100_000_000
MAX_BYTES = 64 * 1024**2  # of one image's file
KEPT_BYTES = 256 * 1024**2  # of all; the oldest are forgotten
PREVIEW_SIDE = 768  # pixels
_SUFFIXES = {"JPEG": ".jpg", "JPEG2000": ".jp2", "TIFF": ".tif"}
_NO_NAME = re.compile(r"[^\w .()+-]|^\.+")


@dataclass(frozen=True)
class HeldImage:
    """An image in memory.

    Attributes:
        id: the digest of its file.
        name: of its file, without a folder.
        pixels: the digest of its pixels.
        preview: it as a PNG of at most 768 pixels a side.
    """

    id: str
    name: str
    content: bytes
    pixels: str
    width: int
    height: int
    preview: bytes

    def decode(self) -> Image.Image:
        """The image as the models get it: RGB, upright."""
        return read_image(self.content)


class HeldImages:
    """Images by their digests; beyond `KEPT_BYTES` the ones used longest ago are forgotten."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, HeldImage] = OrderedDict()
        # One is decoded at a time, so that the limit of pixels is one of memory too.
        self._decoding, self._changing = Lock(), Lock()

    def add(self, content: bytes, name: str = "") -> HeldImage:
        """Check and hold an image file.

        Args:
            name: of the file; an image without one, such as a pasted one, is named by its digest. Its ending
                is added where it is missing.

        Raises:
            ImageFaultError: it is no image, damaged, or has too many pixels.
        """
        digest = image_digest(content)
        name = _NO_NAME.sub("_", PurePath(name.replace("\\", "/")).name)[-100:]
        if (known := self._find(digest)) is not None:
            # By the name that it has now, which the sample will have.
            return self._hold(
                replace(known, name=_with_ending(name, PurePath(known.name).suffix) or known.name)
            )
        with self._decoding:
            with opened_image(content, FORMATS, MAX_PIXELS) as image:
                suffix = _SUFFIXES.get(str(image.format), f".{str(image.format).lower()}")
            shown = read_image(content)
        pixels, (width, height) = image_sha256(shown), shown.size
        shown.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        name = _with_ending(name or digest[:12], suffix)
        preview = encode_image(shown, "PNG")
        return self._hold(HeldImage(digest, name, content, pixels, width, height, preview))

    def _hold(self, held: HeldImage) -> HeldImage:
        with self._changing:
            self._held[held.id] = held
            size = sum(len(image.content) for image in self._held.values())
            while size > KEPT_BYTES and len(self._held) > 1:
                size -= len(self._held.popitem(last=False)[1].content)
        return held

    def get(self, digest: str) -> HeldImage:
        """The image with this digest.

        Raises:
            ChatError: it is not held, or no longer.
        """
        if (held := self._find(digest)) is None:
            raise ChatError("the image is no longer in memory (remedy: choose it again)")
        return held

    def another(self, digest: str) -> HeldImage:
        """For the control: an image with other pixels. Each one's is the next by digest, so all differ.

        Raises:
            ChatError: there is no other image yet, or this one is no longer held.
        """
        own = self.get(digest).pixels
        with self._changing:
            others = {image.pixels: image for image in self._held.values() if image.pixels != own}
        if not others:
            raise ChatError(
                "there is no other image to show (remedy: choose a second one, then this one again)"
            )
        return others[min(others, key=lambda pixels: (pixels < own, pixels))]

    def _find(self, digest: str) -> HeldImage | None:
        with self._changing:
            if digest in self._held:
                self._held.move_to_end(digest)
            return self._held.get(digest)


def _with_ending(name: str, suffix: str) -> str:
    return name if not name or PurePath(name).suffix else name + suffix
