"""Download the images of WIT: choose the file to request from Wikimedia, and request each only once."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from urllib.parse import unquote

from ndino.data.io.fetch import Fetcher, FetchError, only_kinds
from ndino.data.io.images import UnusableImageError, usable_image

# https://www.mediawiki.org/wiki/Common_thumbnail_sizes: Wikimedia serves these widths and no others.
WIDTHS = (250, 330, 500, 960, 1280, 1920, 3840)
WIDTH = 1280  # ours: the smallest that fills the widest image grid of the recipes, 1008 pixels
_LONGEST_NAME = 160  # bytes; the thumbnail of a file with a longer name is called "thumbnail"
_ORIGINAL = re.compile(
    r"https?://upload\.wikimedia\.org/(?P<project>[\w-]+/[\w-]+)/(?P<folder>[0-9a-f]/[0-9a-f]{2})/"
    r"(?P<name>[^/?#]+\.(?P<suffix>\w+))"
)


def address_of(url: str, original_width: int | None, width: int = WIDTH) -> str:
    """The URL to fetch for an image of WIT.

    From Wikimedia, the thumbnail of ``width`` pixels if the original is wider or is an SVG: originals are
    tens of times larger, and Wikimedia throttles robots that request them. From other sites, ``url`` itself.
    """
    found = _ORIGINAL.fullmatch(url)
    if not found:
        return url
    project, folder, name, suffix = found.group("project", "folder", "name", "suffix")
    site, kind = "https://upload.wikimedia.org", suffix.lower()
    known = kind in ("jpg", "jpeg", "png", "gif", "tif", "tiff")
    if kind != "svg" and not (known and original_width and original_width > width):
        return f"{site}/{project}/{folder}/{name}"
    short = f"thumbnail.{suffix}" if len(unquote(name).encode()) > _LONGEST_NAME else name
    form = {"svg": "{}px-{}.png", "tif": "lossy-page1-{}px-{}.jpg", "tiff": "lossy-page1-{}px-{}.jpg"}
    return f"{site}/{project}/thumb/{folder}/{name}/{form.get(kind, '{}px-{}').format(width, short)}"


@dataclass(frozen=True)
class SavedImage:
    """The name of a stored image, or the reason why it could not be stored."""

    image: str = ""
    reason: str = ""
    detail: str = ""


class ImageStore:
    """Downloads images and records the result for each URL in a file, so that a rerun skips them.

    A context manager, thread-safe. One process at a time may use the file.

    Args:
        file: SQLite file with the results, created if it does not exist.
        save: stores the bytes of an image with a file suffix and returns its name.
    """

    def __init__(self, file: Path, fetcher: Fetcher, save: Callable[[bytes, str], str]) -> None:
        self._fetcher, self._save = fetcher, save
        self._lock = threading.Lock()
        self._running: dict[str, Future[SavedImage]] = {}
        # What a killed process wrote is safe with the operating system, so do not wait for the disk.
        self._known = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._known.execute("PRAGMA synchronous = OFF")
        self._known.execute(
            "CREATE TABLE IF NOT EXISTS images"
            " (address TEXT PRIMARY KEY, image TEXT, reason TEXT, detail TEXT)"
        )

    def __enter__(self) -> ImageStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._known.close()

    def get(self, address: str) -> SavedImage:
        """The image at ``address``, downloaded unless its result is known.

        Raises:
            DataError: as `Fetcher.get`.
        """
        with self._lock:
            if known := self._look_up(address):
                return known
            running = self._running.get(address)
            ours = running is None
            if ours:
                running = self._running[address] = Future()
        if not ours:
            return running.result()
        try:
            image = self._download(address)
            with self._lock:
                self._known.execute("INSERT INTO images VALUES (?, ?, ?, ?)", (address, *astuple(image)))
            running.set_result(image)
        except BaseException as error:
            running.set_exception(error)  # wakes the threads that wait for this image
            raise
        finally:
            with self._lock:
                del self._running[address]
        return image

    def _look_up(self, address: str) -> SavedImage | None:
        query = "SELECT image, reason, detail FROM images WHERE address = ?"
        with closing(self._known.execute(query, (address,))) as found:
            row = found.fetchone()
        return SavedImage(*row) if row else None

    def _download(self, address: str) -> SavedImage:
        try:
            content = self._fetcher.get(address, wanted=only_kinds("image/"))
        except FetchError as error:
            return SavedImage(reason=error.reason, detail=error.detail)
        return store_image(content, self._save)


def store_image(content: bytes, save: Callable[[bytes, str], str]) -> SavedImage:
    """Store an image if it can be used for training."""
    try:
        return SavedImage(save(*usable_image(content)))
    except UnusableImageError as error:
        return SavedImage(reason=f"image: {error.reason}")
