"""Which rows a mix takes: of each source, those with the lowest ranks.

The rank of a row is the SHA-256 of the seed and its id, so the sample depends neither on the order of the
folders nor on a random number generator.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from ndino.common.errors import reason_of, shown
from ndino.common.images import leaves_the_folder
from ndino.common.parsing import parse_json
from ndino.data.errors import DataError
from ndino.data.framework.folders import DataFolder, images_of
from ndino.data.framework.layout import DATA, MANIFEST
from ndino.data.framework.ranks import rank
from ndino.data.framework.shards import Reject
from ndino.formats.llava_json import fault_of

Take = Mapping[str, int | None]  # number of rows to take from each source, None for all


@dataclass(frozen=True, order=True)
class Place:
    """A row of a folder: its rank, and its place in the folder's file (offset and length in bytes)."""

    rank: bytes
    folder: int
    offset: int
    length: int
    row: int


@dataclass(frozen=True)
class FoundRows:
    """What the folders of a mix hold.

    Attributes:
        places: the rows of each source that the mix names, in no order.
        hashes: the SHA-256 of each folder's file.
        poor: the rows of too low a quality.
        sources: all sources that there are.
    """

    places: dict[str, list[Place]]
    hashes: list[str]
    poor: list[Reject]
    sources: set[str]


def find_rows(folders: Sequence[DataFolder], take: Take, seed: int, min_quality: float | None) -> FoundRows:
    """Read all rows.

    Raises:
        DataError: a folder was changed, a row cannot be used, or an id occurs twice.
    """
    there: set[str] = set()
    poor: list[Reject] = []
    found: dict[str, list[Place]] = {source: [] for source in take}
    seen: dict[str, Path] = {}
    hashes = []
    for index, folder in enumerate(folders):
        content, offset = hashlib.sha256(), 0
        bar = tqdm(desc=f"Reading {folder.name}", total=folder.data.stat().st_size, unit="B", unit_scale=True)
        with bar, folder.data.open("rb") as file:
            for number, line in enumerate(file, start=1):
                content.update(line)
                row = _parse(line, folder, number)
                identity = str(row["id"])
                there.add(its_source := row.get("source", folder.name))
                if (source := _taken_as(its_source, take)) is not None:
                    if identity in seen:
                        raise DataError(
                            f"{folder.data} row {number}: id {identity!r} is already in {seen[identity]} "
                            "(remedy: name each source once; ids are unique)"
                        )
                    seen[identity] = folder.data
                    score = row.get("quality")
                    if min_quality is not None and score is not None and score < min_quality:
                        reason = f"quality below {min_quality:g}"
                        poor.append(Reject(identity, reason, {"quality": score}, its_source))
                    else:
                        found[source].append(Place(rank(seed, identity), index, offset, len(line), number))
                offset += len(line)
                bar.update(len(line))
        hashes.append(content.hexdigest())
        if folder.manifest and folder.manifest["files"].get(DATA) != hashes[-1]:
            raise DataError(
                f"{folder.data}: does not match {MANIFEST}: it was changed or is torn "
                f"(remedy: ndino data merge {folder.path})"
            )
    return FoundRows(found, hashes, sorted(poor, key=lambda reject: reject.where), there)


def _parse(line: bytes, folder: DataFolder, number: int) -> dict[str, Any]:
    row, fault = None, None
    try:
        row = parse_json(line)
    except ValueError as error:
        fault = f"broken JSON: {reason_of(error)}"
    fault = fault or fault_of(row)
    if row is not None and fault is None and any(map(leaves_the_folder, images_of(row))):
        fault = "an image outside the image folder"
    if row is None or fault is not None:
        raise DataError(
            f"{folder.data} row {number}: {fault} (remedy: ndino data check {folder.path} lists all faults)"
        )
    return row


def _taken_as(source: str, take: Take) -> str | None:
    while source not in take:
        source = source.rpartition("/")[0]
        if not source:
            return None
    return source


def sample(rows: FoundRows, take: Take, *, allow_short: bool) -> dict[str, list[Place]]:
    """The rows to take of each source.

    Raises:
        DataError: a source has too few (unless ``allow_short``), or none has any.
    """
    found, there = rows.places, shown(", ".join(sorted(rows.sources)) or "no rows")
    below = Counter(_taken_as(reject.source, take) for reject in rows.poor)
    short = [
        f"{source} has {len(found[source]):,} rows of {'all' if count is None else f'{count:,}'} wanted"
        + (f", {below[source]:,} fell below --min-quality" if below[source] else "")
        for source, count in take.items()
        if len(found[source]) < (1 if count is None else count)
    ]
    if short and not allow_short:
        unknown = any(not found[source] and not below[source] for source in take)
        listed = f"; the folders have {there}" if unknown else ""
        lower = "a lower --min-quality, " if any(below[source] for source in take) else ""
        raise DataError(f"{'; '.join(short)}{listed} (remedy: {lower}get more of it, or --allow-short)")
    if not any(found.values()):
        if fell := sum(below.values()):
            raise DataError(f"all {fell:,} rows fell below --min-quality (remedy: a lower --min-quality)")
        raise DataError(
            f"none of the sources is in the folders, which have {there} (remedy: --take one of these)"
        )
    for line in short:
        print(f"mix: short: {line}")
    return {source: sorted(found[source])[:count] for source, count in take.items()}


def row_at(file: BinaryIO, offset: int, length: int) -> dict[str, Any]:
    """The row at this place of a file of rows, in bytes."""
    file.seek(offset)
    return parse_json(file.read(length))
