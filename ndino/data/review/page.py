"""A sample of rows as one page for reviewers: images inside, every text escaped, nothing loaded or sent."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from ndino.common.files import key_of
from ndino.common.images import ImageFaultError, data_url, open_named
from ndino.data.framework.folders import DataFolder, images_of
from ndino.data.review.sample import UNREADABLE, source_of
from ndino.formats.prompts import IMAGE_TOKEN

LONGEST_SIDE, QUALITY = 640, 80  # of the images in the page: pixels, and of JPEG
SPEAKERS = {"human": "question", "gpt": "answer"}
NOT_SHOWN = ("id", "question_id", "img_id", "image", "source", "original", "quality", "conversations")


@dataclass(frozen=True)
class ShownText:
    """A text of a row, with what it was translated from where the row has that."""

    name: str
    text: str
    original: str | None


@dataclass(frozen=True)
class ShownRow:
    """A row on the page; ``images`` are data URLs, ``faults`` the images that cannot be shown."""

    id: str
    source: str
    images: tuple[str, ...]
    faults: tuple[str, ...]
    texts: tuple[ShownText, ...]

    @property
    def translated(self) -> bool:
        return any(text.original is not None for text in self.texts)


def render_sheet(folder: DataFolder, digest: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The page for these rows of ``folder``; ``digest`` is the SHA-256 of its ``data.jsonl``."""
    templates = files("ndino.data.review") / "templates"
    script = (templates / "sheet.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("ndino.data.review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    manifest = folder.manifest or {}
    page = environment.get_template("sheet.html.j2").render(
        title=folder.name,
        lang=_one(manifest.get("lang")),
        original_lang=_one(manifest.get("settings", {}).get("from")),
        digest=digest,
        sheet=key_of(digest, [row["id"] for row in rows]),
        rows=[show(row, folder) for row in rows],
        script=script,
        # The page runs its own script and no other, whatever the rows hold.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page.translate(UNREADABLE)


def show(row: Mapping[str, Any], folder: DataFolder) -> ShownRow:
    """A row with its images read and its texts paired with their originals."""
    images, faults = [], []
    for name in images_of(dict(row)):
        try:
            images.append(_encoded(folder, name))
        except ImageFaultError as error:
            faults.append(str(error))
    return ShownRow(str(row["id"]), source_of(row, folder), tuple(images), tuple(faults), tuple(_texts(row)))


def _texts(row: Mapping[str, Any]) -> list[ShownText]:
    original = row.get("original")
    if "conversations" not in row:
        # The question of a benchmark, with a column for each text.
        before = original if isinstance(original, dict) else {}
        return [
            ShownText(name, _written(value), _written(before[name]) if name in before else None)
            for name, value in row.items()
            if name not in NOT_SHOWN
        ]
    before = original if isinstance(original, list) else []
    turns = row["conversations"]
    return [
        ShownText(
            SPEAKERS.get(turn["from"], str(turn["from"])),
            turn["value"].replace(IMAGE_TOKEN, "").strip(),
            before[number] if len(before) == len(turns) else None,
        )
        for number, turn in enumerate(turns)
        if turn["value"].replace(IMAGE_TOKEN, "").strip()
    ]


def _written(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _one(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _encoded(folder: DataFolder, name: str) -> str:
    """An image as it is trained on, small, as a data URL; raises `ImageFaultError`."""
    image = open_named(name, folder.images)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return data_url(image, "JPEG", quality=QUALITY)
