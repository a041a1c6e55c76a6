"""Tux Paint's stamps: where they come from, what their files say, and how they are split.

A stamp is a PNG in a topic folder with a text file of the same name: its first line is the English caption,
further lines are translations, ``it.utf8=Una rana.`` the Italian one. Debian packs them as
``tuxpaint-stamps-default`` (GPL-2); nothing of it is part of this repository.
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
LONG_SIDE = 224
# An image's folder below its topic tells what it shows, but for these, which tell how.
STYLES = frozenset({"cartoon", "toys", "plastic"})
TRANSLATION = re.compile(r"[A-Za-z_@]+\.utf8=")
# Words that two captions of the same thing may differ by.
LITTLE_WORDS = frozenset(
    {"un", "uno", "una", "il", "lo", "la", "i", "gli", "le", "l", "e", "di"}
    | {"alcuni", "alcune", "altro", "altra", "paio", "due", "tre"}
)


class StampsError(RuntimeError):
    """No stamps, or too few; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Stamp:
    """An image (RGBA, cut to what is seen, at most 224 pixels a side) with its captions.

    ``name`` is the file's path below the stamps' folder without its ending; ``english`` may be empty.
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
        """Folders from the topic down that say what is shown."""
        return tuple(part for part in self.name.split("/")[:-1] if part not in STYLES)

    @property
    def stems(self) -> frozenset[str]:
        """The caption's words without endings and little words: equal for captions that are nearly equal."""
        words = re.findall(r"[^\W_]+", self.italian.casefold())
        return frozenset(_stem(word) for word in words if word not in LITTLE_WORDS)

    @property
    def series(self) -> tuple[str, str]:
        """Folder and beginning of the file's name: lion and lion-2, dreydl-hay and dreydl-nun are alike."""
        folder, _, name = self.name.rpartition("/")
        return folder, re.split(r"[-_.\d]", name)[0] or name


def find_stamps(say: Callable[[str], object] = print) -> Path:
    """The folder of stamps: named by NDINO_STAMPS, installed, or fetched once into the user's cache folder.

    Raises:
        StampsError: the named folder is not there, or the package cannot be fetched.
    """
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_dir():
            raise StampsError(f"{VARIABLE}={named}: no such folder (name one that holds topic folders)")
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


def read_stamps(folder: Path) -> tuple[list[Stamp], list[str]]:
    """The stamps below ``folder`` with an Italian caption, and of every other PNG why it is left out."""
    stamps, left_out = [], []
    for path in sorted(folder.rglob("*.png")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            english, italian = read_captions(path.with_suffix(".txt"))
            stamps.append(Stamp(name, _read_image(path), italian, english))
        except BROKEN_IMAGE as error:
            left_out.append(f"{name}.png: {reason_of(error)}")
    return stamps, left_out


def read_captions(path: Path) -> tuple[str, str]:
    """English ("" where there is none) and Italian caption of a stamp's text file.

    Raises:
        ValueError: no such file, no Italian caption, or the file is not UTF-8.
    """
    if not path.is_file():
        raise ValueError(f"no {path.name} beside it")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    italian = [_clean(line.removeprefix("it.utf8=")) for line in lines if line.startswith("it.utf8=")]
    if not any(italian):
        raise ValueError(f"no Italian caption (it.utf8=) in {path.name}")
    english = _clean(lines[0]) if not TRANSLATION.match(lines[0]) else ""
    return english, next(filter(None, italian))


def split_stamps(
    stamps: Sequence[Stamp], share: float, rng: random.Random
) -> tuple[list[Stamp], list[Stamp]]:
    """Training and held-out stamps; of those with nearly the same caption or of one series, all on one side.

    About ``share`` of them are held out. A lot too large for that side to stay mixed goes to training.
    """
    wanted = round(share * len(stamps))
    lots = _lots(stamps)
    rng.shuffle(lots)
    training, held_out = [], []
    for lot in lots:
        fits = len(lot) <= max(1, wanted // 10) and len(held_out) + len(lot) <= wanted
        (held_out if fits else training).extend(lot)
    rng.shuffle(held_out)
    return training, held_out


def _lots(stamps: Sequence[Stamp]) -> list[list[Stamp]]:
    """Stamps that are linked by caption or series, directly or through others."""
    lot_of: dict[object, list[Stamp]] = {}
    for stamp in stamps:
        keys = (stamp.stems, stamp.series)
        linked = {id(lot): lot for key in keys if (lot := lot_of.get(key)) is not None}
        merged = [stamp, *(member for lot in linked.values() for member in lot)]
        for member in merged:
            lot_of[member.stems] = lot_of[member.series] = merged
    return list({id(lot): lot for lot in lot_of.values()}.values())


def _stem(word: str) -> str:
    return word.rstrip("aeiou")[:5] if len(word) > 3 else word


def _clean(caption: str) -> str:
    """One line with plain quotation marks, a capital first letter and a mark at its end."""
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
        raise ValueError("nothing in it can be seen")
    image = image.crop(box)
    image.thumbnail((LONG_SIDE, LONG_SIDE))
    return image
