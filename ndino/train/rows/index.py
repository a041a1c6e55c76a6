"""Reading an index: the usable rows of a stage's data, encoded and counted (`ndino.train.rows.building`).

Training reads its Arrow files as they are, so that damage would be trained on. Hence each file's size and
CRC-32 are in ``index.json``, and ``index.json`` has one of itself; they are compared before an index is used.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ndino.common.checksums import checksums
from ndino.common.errors import reason_of
from ndino.common.parsing import read_json
from ndino.formats.prompts import IGNORE_INDEX
from ndino.formats.recipes import Recipe
from ndino.train.rows.encoding import EncodedRow

FOLDER = ".index"  # of indexes, beside the data or the run's folder
RECIPE_FIELDS = ("prompt", "supervision", "plain_ending", "max_length", "grid_pinpoints")  # in an index's key
CHAT_FIELDS = ("system", "thinking")  # in that of prompt: chat
META = "index.json"  # in an index: what it was made of, and its files with their checksums; written last
_OWN = "crc32"  # of the rest of index.json, in it


@dataclass(frozen=True)
class RejectedRow:
    """A row that is not trained on: its number, and the reason with its remedy.

    ``image`` is set if the reason is an image, which may be repaired without any change of the data file.
    """

    row: int
    reason: str
    image: str | None = None


@dataclass(frozen=True)
class RowIndex:
    """An opened index: a sequence of `EncodedRow`.

    Attributes:
        folder: where it is.
        rejects: the rows that cannot be used, in the data's order.
    """

    folder: Path
    rejects: tuple[RejectedRow, ...]
    table: Any  # the datasets.Dataset over the Arrow files

    @cached_property
    def lengths(self) -> np.ndarray:
        """int32 ``(rows,)``: tokens of each sample, images counted as their features."""
        return self._column("length")

    @cached_property
    def supervised(self) -> np.ndarray:
        """int32 ``(rows,)``: labels of each sample that the loss uses."""
        return self._column("supervised")

    @cached_property
    def row_numbers(self) -> np.ndarray:
        """int64 ``(rows,)``: each row's number in the data file, from 1."""
        return self._column("row")

    @property
    def has_images(self) -> bool:
        """Whether any row has an image."""
        return any(len(chunk.flatten()) for chunk in self.table.data.column("images").chunks)

    @property
    def digest(self) -> str:
        """Which rows are usable and how long they are, as a hash."""
        return hashlib.sha256(self.row_numbers.tobytes() + self.lengths.tobytes()).hexdigest()[:32]

    def _column(self, name: str) -> np.ndarray:
        return np.asarray(self.table.data.column(name).to_numpy())

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, position: int) -> EncodedRow:
        if not 0 <= position < len(self):
            raise IndexError(f"row {position} of {len(self)}")
        return self._row(position)

    def _row(self, position: int) -> EncodedRow:
        """The row at a position of the Arrow files."""
        # By Arrow's own objects: datasets would make a Python integer of each token first.
        row = self.table.data.fast_slice(position, 1)
        cells = {name: row.column(name)[0] for name in row.column_names}
        ids = cells["input_ids"].values.to_numpy()
        heights, widths = cells["heights"].as_py(), cells["widths"].as_py()
        return EncodedRow(
            row=cells["row"].as_py(),
            images=tuple(cells["images"].as_py()),
            sizes=tuple(zip(heights, widths, strict=True)),
            input_ids=ids,
            labels=np.where(cells["is_label"].values.to_numpy(zero_copy_only=False), ids, IGNORE_INDEX),
            image_tokens=tuple(cells["image_tokens"].as_py()),
            length=cells["length"].as_py(),
            supervised=cells["supervised"].as_py(),
        )

    def lines(self, data: Path) -> list[str]:
        """The rejects as lines ``FILE row N: reason``; ``data`` is the file's name in them."""
        return [f"{data} row {reject.row}: {reject.reason}" for reject in self.rejects]


def recipe_part(recipe: Recipe) -> dict[str, Any]:
    """The recipe's fields that an index depends on."""
    names = RECIPE_FIELDS + (CHAT_FIELDS if recipe.prompt == "chat" else ())
    return {name: getattr(recipe, name) for name in names}


def read_meta(folder: Path) -> dict[str, Any]:
    """What an index was made of, and how many shards it has."""
    return read_json(folder / META)


def signed(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What `META` holds, with the checksum of itself."""
    return {**meta, _OWN: _crc32_of(meta)}


def damage_of(folder: Path) -> str | None:
    """What is not as it was written in a complete index; None if all is. Reads all its files.

    Raises:
        OSError: a file may not be read, or the disk fails: then it is not known.
    """
    try:
        meta = read_meta(folder)
        if not isinstance(meta, dict) or meta.pop(_OWN, None) != _crc32_of(meta):
            return f"{META}: another content"
    except ValueError as error:
        return f"{META}: {reason_of(error)}"
    for name, wanted in meta["files"].items():
        try:
            size = (folder / name).stat().st_size
        except FileNotFoundError:
            return f"{name}: missing"
        if size != wanted["bytes"]:
            return f"{name}: {size:,} bytes in place of {wanted['bytes']:,}"
    found = checksums([folder / name for name in meta["files"]])
    for (name, wanted), crc in zip(meta["files"].items(), found, strict=True):
        if crc != wanted["crc32"]:
            return f"{name}: another content"
    return None


def _crc32_of(meta: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(meta, sort_keys=True).encode())


def open_index(folder: Path) -> RowIndex:
    """Open a sound index (`damage_of`); its rows are mapped, not read.

    Raises:
        OSError: it is not there, or a file of it is missing.
    """
    from datasets import Dataset, concatenate_datasets

    meta = read_meta(folder)
    shards = []
    rejects = [RejectedRow(**reject) for reject in meta["unreadable"]]
    for number in range(meta["shards"]):
        shards.append(Dataset.from_file(str(shard_file(folder, number))))
        listed = read_json(rejects_file(folder, number))
        rejects += [RejectedRow(**reject) for reject in listed["rejects"]]
    table = concatenate_datasets(shards) if len(shards) > 1 else shards[0]
    return RowIndex(folder, tuple(sorted(rejects, key=lambda reject: reject.row)), table)


def shard_file(folder: Path, number: int) -> Path:
    """The Arrow file of a shard; it is there once the shard is whole."""
    return folder / f"rows-{number:05d}.arrow"


def rejects_file(folder: Path, number: int) -> Path:
    """A shard's rejected rows, and the size and checksum of its Arrow file."""
    return folder / f"rejects-{number:05d}.json"
