"""The image files of a data set: sizes from their headers, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ndino.common.images import ImageFaultError, open_named, size_of_named

# Threads that open headers. They wait for the disk or the network, not for a processor.
THREADS = 16
AHEAD = 1024  # images that are opened together


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image without decoding it: ``size`` is (height, width) in pixels.

    ``fault`` says why it cannot be used, with the remedy; None if it can. The size is then (0, 0).
    """

    name: str
    size: tuple[int, int]
    fault: str | None


def read_header(name: str, folder: Path) -> ImageHeader:
    """Open the image ``name``, as a row names it, as far as its header."""
    try:
        return ImageHeader(name, size_of_named(name, folder), None)
    except ImageFaultError as error:
        return ImageHeader(name, (0, 0), f"{error.reason} (remedy: {error.remedy})")


def image_fault(name: str, folder: Path) -> str | None:
    """Why the image ``name`` of a row cannot be used, with the remedy; it is decoded to its end."""
    try:
        open_named(name, folder)
    except ImageFaultError as error:
        return f"{error.reason} (remedy: {error.remedy})"
    return None


def read_headers(names: Iterable[str], folder: Path) -> Iterator[ImageHeader]:
    """`read_header` of many images in parallel, in order."""
    left = iter(names)
    with ThreadPoolExecutor(THREADS) as threads:
        while part := list(islice(left, AHEAD)):
            yield from threads.map(lambda name: read_header(name, folder), part)
