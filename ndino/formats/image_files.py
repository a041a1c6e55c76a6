"""The image files of a data set: sizes from their headers, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ndino.common.errors import reason_of
from ndino.common.images import BROKEN_IMAGE, header_size
from ndino.formats.llava_json import file_fault

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
        return ImageHeader(name, header_size(folder / name), None)
    except BROKEN_IMAGE as error:
        # For a file that is not there, the words and remedies of `read_conversations`.
        missing = file_fault([name], folder)
        unreadable = (
            f"{folder / name}: cannot be read as an image ({reason_of(error)}) "
            "(remedy: copy it again or remove its row)"
        )
        return ImageHeader(name, (0, 0), missing or unreadable)


def read_headers(names: Iterable[str], folder: Path) -> Iterator[ImageHeader]:
    """`read_header` of many images in parallel, in order."""
    left = iter(names)
    with ThreadPoolExecutor(THREADS) as threads:
        while part := list(islice(left, AHEAD)):
            yield from threads.map(lambda name: read_header(name, folder), part)
