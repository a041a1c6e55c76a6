"""The rows of a data folder that reviewers see: the same number of each source, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndino.common.errors import reason_of
from ndino.common.parsing import parse_json
from ndino.data.errors import DataError
from ndino.data.framework.folders import DataFolder
from ndino.data.framework.ranks import rank
from ndino.data.framework.sampling import row_at
from ndino.data.framework.shares import by_size
from ndino.formats.llava_json import fault_of

# Browsers do not show control characters, and a raw one could truncate the page (NUL) or hide text. UTF-8 has
# no lone surrogates.
UNREADABLE = {
    code: "\N{REPLACEMENT CHARACTER}"
    for code in (*range(32), *range(127, 160), *range(0xD800, 0xE000))
    if code not in (9, 10)
}
Place = tuple[bytes, int, int]  # the rank of a row, and its offset and length in the file


def sample_rows(folder: DataFolder, n: int, seed: int) -> list[dict[str, Any]]:
    """At most ``n`` rows, by rank: as many of each source; where one has too few, more of the others.

    A larger ``n`` with the same ``seed`` adds rows to those of a smaller one.

    Raises:
        DataError: there are no rows, or one is broken.
    """
    places = _places(folder, seed)
    if not places:
        raise DataError(f"{folder.data}: no rows (remedy: build the folder again)")
    shares = by_size(n, {source: len(found) for source, found in places.items()}, alpha=0)
    chosen = sorted(place for source, found in places.items() for place in sorted(found)[: shares[source]])
    with folder.data.open("rb") as file:
        return [row_at(file, offset, length) for _, offset, length in chosen]


def count_rows(folder: DataFolder) -> dict[str, int]:
    """The number of rows of each source."""
    return {source: len(found) for source, found in _places(folder, 0).items()}


def sources_by_id(folder: DataFolder) -> dict[str, str]:
    """The source of each row, by its id."""
    with folder.data.open("rb") as file:
        rows = map(parse_json, file)
        return {str(row["id"]): source_of(row, folder) for row in rows}


def source_of(row: Mapping[str, Any], folder: DataFolder) -> str:
    """The source of a row; of rows without one, the name of their folder."""
    return str(row.get("source", folder.name))


def _places(folder: DataFolder, seed: int) -> dict[str, list[Place]]:
    places: dict[str, list[Place]] = {}
    offset = 0
    with folder.data.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = parse_json(line)
                place = rank(seed, str(row["id"])), offset, len(line)
                if "conversations" in row and (fault := fault_of(row)):
                    raise ValueError(fault)
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{folder.data} row {number}: {reason_of(error)} "
                    f"(remedy: ndino data check {folder.path} lists all faults)"
                ) from error
            places.setdefault(source_of(row, folder), []).append(place)
            offset += len(line)
    return places
