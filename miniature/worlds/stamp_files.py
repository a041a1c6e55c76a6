"""Find, read and split Tux Paint's stamps.

A stamp is a PNG in a topic folder with a text file of the same name. The text file's first line is the
English caption, the others are translations into seventy languages; ``it.utf8=Una rana.`` is the Italian one.
Debian packages the stamps as ``tuxpaint-stamps-default`` (GPL-2); nothing of it is part of this repository.
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
from ndino.languages.lexicon import StampWords

PACKAGE = "tuxpaint-stamps-default"
VARIABLE = "NDINO_STAMPS"
INSTALLED = Path("/usr/share/tuxpaint/stamps")
LONG_SIDE = 224  # pixels
# Folders below a topic say what an image shows, except these, which say how it is made.
STYLES = frozenset({"cartoon", "toys", "plastic"})
TRANSLATION = re.compile(r"([A-Za-z_@]+)\.utf8=(.*)")
STEM = 5  # letters that are enough to tell words apart


class StampsError(RuntimeError):
    """There are no stamps, or too few; the message includes a remedy."""


@dataclass(frozen=True, eq=False)
class TuxpaintStamp:
    """An image (RGBA, cropped to its visible part, at most 224 pixels per side) with its captions.

    Attributes:
        name: the file's path below the stamps folder, without suffix.
        caption: in the world's language.
        english: the English one; may be empty.
        stems: the stems of the caption's content words; captions with equal sets name the same thing.
    """

    name: str
    image: Image.Image
    caption: str
    english: str
    stems: frozenset[str]

    @property
    def topic(self) -> str:
        return self.name.split("/")[0]

    @property
    def place(self) -> tuple[str, ...]:
        """The folders that say what is shown, from the topic down."""
        return tuple(part for part in self.name.split("/")[:-1] if part not in STYLES)

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


def read_stamps(folder: Path, words: StampWords) -> tuple[list[TuxpaintStamp], list[str]]:
    """Read all stamps below ``folder`` that have a caption in the language of ``words``.

    Returns the stamps and one line for every other PNG: its name and why it is left out.
    """
    stamps, left_out = [], []
    for path in sorted(folder.rglob("*.png")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            english, caption = read_captions(path.with_suffix(".txt"), words)
            stamps.append(TuxpaintStamp(name, _read_image(path), caption, english, stems_of(caption, words)))
        except BROKEN_IMAGE as error:
            left_out.append(f"{name}.png: {reason_of(error)}")
    return stamps, left_out


def read_captions(path: Path, words: StampWords) -> tuple[str, str]:
    """Read the English caption ("" if there is none) and that in the language of ``words`` from a text file.

    Raises:
        ValueError: the file is missing, not UTF-8, or without a caption in the language.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    captions: dict[str, str] = {}
    for number, line in enumerate(lines):
        if found := TRANSLATION.match(line):
            code, text = found.groups()
        elif number == 0:
            code, text = "en", line
        else:
            continue
        captions[code] = captions.get(code) or _clean(text)
    if not captions.get(words.code):
        raise ValueError(f"no {words.name} caption ({words.code}.utf8=) in {path.name}")
    return captions.get("en", ""), captions[words.code]


def stems_of(caption: str, words: StampWords) -> frozenset[str]:
    """The stems of a caption's content words."""
    found = re.findall(r"[^\W_]+", caption.casefold())
    return frozenset(_stem(word, words.endings) for word in found if word not in words.small_words)


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


def _stem(word: str, endings: Sequence[str]) -> str:
    # Without their endings singular and plural agree (rosa, rose).
    if len(word) <= 3:
        return word
    fitting = [ending for ending in endings if word.endswith(ending)]
    return word.removesuffix(max(fitting, key=len, default=""))[:STEM]


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
