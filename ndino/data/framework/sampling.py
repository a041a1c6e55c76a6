"""Which rows a mix takes: of each source, those with the lowest ranks.

The rank of a row is the SHA-256 of the seed and its id, so the sample depends neither on the order of the
folders nor on a random number generator. Where folders have one source in several languages, its ids are the
same in each: in the mix they have the language in front.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from ndino.common.errors import UsageError, reason_of, shown
from ndino.common.images import leaves_the_folder
from ndino.common.parsing import parse_json
from ndino.data.errors import DataError
from ndino.data.framework.folders import DataFolder, images_of, refuse_changed
from ndino.data.framework.ranks import rank
from ndino.data.framework.shards import Reject
from ndino.data.framework.shares import by_size
from ndino.formats.llava_json import fault_of

# The number of rows to take from each source, None for all. A source's name covers all below it: cauldron is
# cauldron/vqav2 too. cauldron@it is its Italian rows alone, @it are all Italian rows.
Take = Mapping[str, int | None]
UNKNOWN = "und"  # ISO 639's code for the language of folders that do not say theirs


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
        poor: the rows of too low a quality, and ``below`` how many of them each name has.
        sources: all sources that there are.
        languages: the language of each folder.
    """

    places: dict[str, list[Place]]
    hashes: list[str]
    poor: list[Reject]
    below: Counter[str]
    sources: set[str]
    languages: list[str]

    def by_language(self, places: Iterable[Place]) -> dict[str, list[Place]]:
        """Rows by the language of their folders."""
        found: dict[str, list[Place]] = {}
        for place in places:
            found.setdefault(self.languages[place.folder], []).append(place)
        return dict(sorted(found.items()))


def find_rows(folders: Sequence[DataFolder], take: Take, seed: int, min_quality: float | None) -> FoundRows:
    """Read all rows.

    Raises:
        DataError: a folder was changed, a row cannot be used, or an id occurs twice.
    """
    there: set[str] = set()
    poor: list[Reject] = []
    below: Counter[str] = Counter()
    shared = in_several_languages(folders)
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
                identity = identity_in(row, folder, shared)
                there.add(its_source := row.get("source", folder.name))
                if (source := _taken_as(its_source, folder.lang, take)) is not None:
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
                        below[source] += 1
                    else:
                        found[source].append(Place(rank(seed, identity), index, offset, len(line), number))
                offset += len(line)
                bar.update(len(line))
        hashes.append(content.hexdigest())
        refuse_changed(folder, hashes[-1])
    languages = [folder.lang or UNKNOWN for folder in folders]
    return FoundRows(found, hashes, sorted(poor, key=lambda reject: reject.where), below, there, languages)


def in_several_languages(folders: Sequence[DataFolder]) -> frozenset[str]:
    """The sources that folders of different languages have."""
    languages: dict[str, set[str]] = {}
    for folder in folders:
        if folder.manifest and folder.lang:
            for source in folder.manifest["rows"]["sources"]:
                languages.setdefault(source, set()).add(folder.lang)
    return frozenset(source for source, found in languages.items() if len(found) > 1)


def identity_in(row: Mapping[str, Any], folder: DataFolder, shared: frozenset[str]) -> str:
    """The id of a row in the mix; ``shared`` are the sources that are there in several languages."""
    in_front = f"{folder.lang}/" if row.get("source", folder.name) in shared and folder.lang else ""
    return f"{in_front}{row['id']}"


def _parse(line: bytes, folder: DataFolder, number: int) -> dict[str, Any]:
    try:
        row, fault = parse_json(line), None
    except ValueError as error:
        row, fault = {}, f"broken JSON: {reason_of(error)}"
    fault = fault or fault_of(row)
    if fault is None and any(map(leaves_the_folder, images_of(row))):
        fault = "an image outside the image folder"
    if fault is not None:
        raise DataError(
            f"{folder.data} row {number}: {fault} (remedy: ndino data check {folder.path} lists all faults)"
        )
    return row


def _taken_as(source: str, lang: str | None, take: Take) -> str | None:
    while source:
        for name in (source, f"{source}@{lang}"):
            if name in take:
                return name
        source = source.rpartition("/")[0]
    return f"@{lang}" if f"@{lang}" in take else None


def refuse_overlaps(take: Take) -> None:
    """Raise UsageError if a row could be taken under two of the names."""
    for one, other in itertools.permutations(take, 2):
        (source, _, lang), (its_source, _, its_lang) = one.partition("@"), other.partition("@")
        below = not its_source or source == its_source or source.startswith(f"{its_source}/")
        if below and (not lang or not its_lang or lang == its_lang):
            raise UsageError(f"{one} is part of {other} (remedy: take one of them)")


def sample(
    rows: FoundRows, take: Take, *, allow_short: bool, alpha: float | None = None
) -> dict[str, list[Place]]:
    """The rows to take of each source.

    Args:
        alpha: of a source with a number, so many of each language as `shares.by_size` says; without it, the
            languages are not told apart.

    Raises:
        DataError: a source has too few (unless ``allow_short``), or none has any.
    """
    found, there = rows.places, shown(", ".join(sorted(rows.sources)) or "no rows")
    below = rows.below
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
    return {
        source: sorted(found[source])[:count]
        if alpha is None or count is None
        else _of_languages(count, rows.by_language(found[source]), alpha)
        for source, count in take.items()
    }


def _of_languages(count: int, places: Mapping[str, list[Place]], alpha: float) -> list[Place]:
    parts = by_size(count, {lang: len(found) for lang, found in places.items()}, alpha)
    return sorted(place for lang, found in places.items() for place in sorted(found)[: parts[lang]])


def row_at(file: BinaryIO, offset: int, length: int) -> dict[str, Any]:
    """The row at this place of a file of rows, in bytes."""
    file.seek(offset)
    return parse_json(file.read(length))
