"""Find, read and split Tux Paint's stamps.

A stamp is a PNG in a topic folder with a text file of the same name. The text file's first line is the
English caption, the others are translations; ``it.utf8=Una rana.`` is the Italian one. Debian packages the
stamps as ``tuxpaint-stamps-default`` (GPL-2); nothing of it is part of this repository.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from miniature.debian_files import DebianError, fetch_package
from ndino.common.errors import reason_of
from ndino.common.images import BROKEN_IMAGE

PACKAGE = "tuxpaint-stamps-default"
VARIABLE = "NDINO_STAMPS"
INSTALLED = Path("/usr/share/tuxpaint/stamps")
LONG_SIDE = 224  # pixels
# Folders below a topic say what an image shows, except these, which say how it is made.
STYLES = frozenset({"cartoon", "toys", "plastic"})
TRANSLATION = re.compile(r"[A-Za-z_@]+\.utf8=")
# Articles, numbers and the like: captions that differ only in these name the same thing.
FUNCTION_WORDS = frozenset(
    {"un", "uno", "una", "il", "lo", "la", "i", "gli", "le", "l", "e", "di"}
    | {"alcuni", "alcune", "altro", "altra", "paio", "due", "tre"}
)


class StampsError(RuntimeError):
    """There are no stamps, or too few; the message includes a remedy."""


@dataclass(frozen=True, eq=False)
class TuxpaintStamp:
    """An image (RGBA, cropped to its visible part, at most 224 pixels per side) with its captions.

    ``name`` is the file's path below the stamps folder, without suffix. ``english`` may be empty.
    """

    name: str
    image: Image.Image
    italian: str
    english: str

    @property
    def topic(self) -> str:
        return self.name.split("/")[0]

    @property
    def place(self) -> tuple[str, ...]:
        """The folders that say what is shown, from the topic down."""
        return tuple(part for part in self.name.split("/")[:-1] if part not in STYLES)

    @property
    def stems(self) -> frozenset[str]:
        """The stems of the caption's content words; captions with equal sets name the same thing."""
        words = re.findall(r"[^\W_]+", self.italian.casefold())
        return frozenset(_stem(word) for word in words if word not in FUNCTION_WORDS)

    @property
    def series(self) -> tuple[str, str]:
        """Folder and start of the file name: lion and lion-2, dreydl-hay and dreydl-nun are one series."""
        folder, _, name = self.name.rpartition("/")
        return folder, re.split(r"[-_.\d]", name)[0] or name


def find_stamps(say: Callable[[str], object] = print) -> Path:
    """Find the stamps folder: from NDINO_STAMPS, installed, or downloaded once into the user's cache folder.

    Raises:
        StampsError: NDINO_STAMPS is not a folder, or the package cannot be downloaded.
    """
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_dir():
            raise StampsError(
                f"{VARIABLE}={named}: no such folder (remedy: set {VARIABLE} to a folder that contains "
                "topic folders)"
            )
        return Path(named)
    if INSTALLED.is_dir():
        return INSTALLED
    try:
        folder = fetch_package(PACKAGE, (".png", ".txt"), size="161 MB", say=say)
    except DebianError as error:
        raise StampsError(
            f"{error} (remedy, as root: apt-get update, or install {PACKAGE}; or unpack Debian's {PACKAGE} "
            f"yourself and name its folder usr/share/tuxpaint/stamps in {VARIABLE})"
        ) from None
    return folder / INSTALLED.relative_to("/")


def read_stamps(folder: Path) -> tuple[list[TuxpaintStamp], list[str]]:
    """Read all stamps below ``folder`` that have an Italian caption.

    Returns the stamps and one line for every other PNG: its name and why it is left out.
    """
    stamps, left_out = [], []
    for path in sorted(folder.rglob("*.png")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            english, italian = read_captions(path.with_suffix(".txt"))
            stamps.append(TuxpaintStamp(name, _read_image(path), italian, english))
        except BROKEN_IMAGE as error:
            left_out.append(f"{name}.png: {reason_of(error)}")
    return stamps, left_out


def read_captions(path: Path) -> tuple[str, str]:
    """Read the English ("" if there is none) and the Italian caption from a stamp's text file.

    Raises:
        ValueError: the file is missing, not UTF-8, or without an Italian caption.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    italian = [_clean(line.removeprefix("it.utf8=")) for line in lines if line.startswith("it.utf8=")]
    if not any(italian):
        raise ValueError(f"no Italian caption (it.utf8=) in {path.name}")
    english = _clean(lines[0]) if not TRANSLATION.match(lines[0]) else ""
    return english, next(filter(None, italian))


def split_stamps(
    stamps: Sequence[TuxpaintStamp], share: float, rng: random.Random
) -> tuple[list[TuxpaintStamp], list[TuxpaintStamp]]:
    """Split stamps into training and held-out ones, about ``share`` of them held out.

    Stamps with nearly the same caption or of one series go to the same side. A group of more than a tenth of
    the held-out side goes to training, so that the held-out side stays varied.
    """
    wanted = round(share * len(stamps))
    groups = _linked_groups(stamps)
    rng.shuffle(groups)
    training, held_out = [], []
    for group in groups:
        fits = len(group) <= max(1, wanted // 10) and len(held_out) + len(group) <= wanted
        (held_out if fits else training).extend(group)
    rng.shuffle(held_out)
    return training, held_out


def _linked_groups(stamps: Sequence[TuxpaintStamp]) -> list[list[TuxpaintStamp]]:
    """Group stamps that share a caption or a series, directly or through other stamps."""
    group_of: dict[object, list[TuxpaintStamp]] = {}
    for stamp in stamps:
        keys = (stamp.stems, stamp.series)
        linked = {id(group): group for key in keys if (group := group_of.get(key)) is not None}
        merged = [stamp, *(member for group in linked.values() for member in group)]
        for member in merged:
            group_of[member.stems] = group_of[member.series] = merged
    return list({id(group): group for group in group_of.values()}.values())


def _stem(word: str) -> str:
    # Without final vowels singular and plural agree (rosa, rose); five letters are enough to tell words
    # apart.
    return word.rstrip("aeiou")[:5] if len(word) > 3 else word


def _clean(caption: str) -> str:
    """Clean a caption: one line, straight quotation marks, a capital first letter, punctuation at the end."""
    text = " ".join(caption.replace("’", "'").replace("“", '"').replace("”", '"').split())
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text.rstrip('"»)')[-1:] in tuple(".!?…") else text + "."


def _read_image(path: Path) -> Image.Image:
    with Image.open(path) as file:
        image = file.convert("RGBA")
    box = image.getchannel("A").getbbox()
    if box is None:
        raise ValueError("every pixel is transparent")
    image = image.crop(box)
    image.thumbnail((LONG_SIDE, LONG_SIDE))
    return image
