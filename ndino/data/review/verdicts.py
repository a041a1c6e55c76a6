"""What the verdicts of reviewers amount to: acceptance by source with intervals, and how far they agree."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import NormalDist
from typing import Any

from ndino.common.errors import reason_of, shown
from ndino.common.options import need_file
from ndino.common.parsing import read_json
from ndino.data.errors import DataError
from ndino.data.review.sample import UNREADABLE

GOOD, BAD, UNSURE = "good", "bad", "unsure"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdicts:
    """One reviewer's verdicts by the id of a row, with the source of each row.

    Attributes:
        data: SHA-256 of the ``data.jsonl`` that the rows are from.
        of: how many rows the page had.
    """

    reviewer: str
    data: str
    of: int
    verdicts: dict[str, str]
    sources: dict[str, str]


def read_verdicts(files: Sequence[Path], digest: str, sources: Mapping[str, str]) -> list[Verdicts]:
    """The verdicts in the files that the page saved, one file a reviewer.

    Args:
        digest: SHA-256 of the ``data.jsonl`` that they have to be of.
        sources: the source of each of its rows, by id.

    Raises:
        UsageError: a file does not exist.
        DataError: it is no such file, names no reviewer, is of other rows, has a row twice or one that is not
            in the data, or two are of one reviewer, whatever the case of the name.
    """
    # The page has their ids as it shows them.
    known = {identity.translate(UNREADABLE): source for identity, source in sources.items()}
    found: list[Verdicts] = []
    for file in files:
        need_file(file, "name the files that the review page saved")
        read = _read(file)
        if read.data != digest:
            raise DataError(
                f"{file}: its verdicts are of other rows: data.jsonl was written anew since the page "
                "(remedy: give the folder as it was, or have the rows reviewed again)"
            )
        for identity, source in read.sources.items():
            if known.get(identity) != source:
                raise DataError(
                    f"{file}: a verdict on {shown(repr(identity))} of {shown(repr(source))}, a row "
                    "that is not in data.jsonl (remedy: save the verdicts on the page again)"
                )
        if any(read.reviewer.casefold() == other.reviewer.casefold() for other in found):
            raise DataError(
                f"{file}: a second file of the reviewer {read.reviewer} (remedy: give the newest one only)"
            )
        found.append(read)
    return found


def _read(file: Path) -> Verdicts:
    try:
        content = read_json(file)
        if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
            raise ValueError("no list of rows")
        if absent := [name for name in ("reviewer", "data", "of") if name not in content]:
            raise ValueError(f"no {' and no '.join(absent)}")
        if not isinstance(content["of"], int):
            raise ValueError(f"of is {shown(repr(content['of']))}, not a number of rows")
        if not (reviewer := _name(content["reviewer"])):
            raise ValueError("no name of a reviewer")
        verdicts: dict[str, str] = {}
        sources: dict[str, str] = {}
        for number, row in enumerate(content["rows"], start=1):
            identity, source, verdict = _row(row, number)
            if identity in verdicts:
                raise ValueError(f"two verdicts on the row {shown(repr(identity))}")
            verdicts[identity], sources[identity] = verdict, source
    except ValueError as error:
        raise DataError(
            f"{file}: not a verdict file of the review page: {reason_of(error)} "
            "(remedy: save the verdicts on the page again)"
        ) from error
    if not verdicts:
        raise DataError(f"{file}: no verdicts in it (remedy: leave it out, or judge rows on the page first)")
    return Verdicts(reviewer, str(content["data"]), content["of"], verdicts, sources)


def _row(row: Any, number: int) -> tuple[str, str, str]:
    """The id, source and verdict of the row with this number, counted from 1."""
    if not isinstance(row, dict):
        raise ValueError(f"row {number} is {shown(repr(row))}, not a verdict")
    if absent := [name for name in ("id", "source", "verdict") if name not in row]:
        raise ValueError(f"row {number} has no {' and no '.join(absent)}")
    if row["verdict"] not in (GOOD, BAD, UNSURE):
        raise ValueError(
            f"row {number}: unknown verdict {shown(repr(row['verdict']))}, not {GOOD}, {BAD} or {UNSURE}"
        )
    return str(row["id"]), str(row["source"]), row["verdict"]


def _name(value: Any) -> str:
    """A reviewer's name on one line, without control characters and those that are not seen."""
    if not isinstance(value, str):
        raise ValueError(f"reviewer is {shown(repr(value))}, not a name")
    plain = unicodedata.normalize("NFC", " ".join(value.split()))
    return "".join(sign for sign in plain if unicodedata.category(sign)[0] != "C").strip()


def review_of(found: Sequence[Verdicts], rows: Mapping[str, int]) -> dict[str, Any]:
    """What the manifest records of a review.

    A row is accepted if every reviewer who gave a verdict on it calls it good; "cannot say" is none.

    Args:
        rows: the rows of each source in the data set, by which the acceptance of the whole is weighted.

    Returns:
        ``sources`` and ``total``, each with ``judged``, ``accepted``, ``unsure``, ``acceptance`` and its 95 %
        ``interval``; ``reviewers``; ``agreement`` of each two on the rows that both judged.
    """
    sources = {source: _acceptance(found, source) for source in sorted(rows)}
    seen = {source: counts for source, counts in sources.items() if counts["judged"] or counts["unsure"]}
    return {
        "data": found[0].data,
        "reviewers": {one.reviewer: dict(sorted(Counter(one.verdicts.values()).items())) for one in found},
        "sources": seen,
        "total": _total(seen, rows),
        "agreement": [_agreement(one, other) for one, other in combinations(found, 2)],
    }


def _acceptance(found: Sequence[Verdicts], source: str) -> dict[str, Any]:
    given: dict[str, set[str]] = {}
    for one in found:
        for identity, verdict in one.verdicts.items():
            if one.sources[identity] == source:
                given.setdefault(identity, set()).add(verdict)
    judged = [verdicts - {UNSURE} for verdicts in given.values() if verdicts != {UNSURE}]
    accepted = sum(verdicts == {GOOD} for verdicts in judged)
    low, high = wilson_interval(accepted, len(judged))
    return {
        "judged": len(judged),
        "accepted": accepted,
        "unsure": len(given) - len(judged),
        "acceptance": round(accepted / len(judged), 4) if judged else None,
        "interval": [round(low, 4), round(high, 4)],
    }


def _total(sources: Mapping[str, dict[str, Any]], rows: Mapping[str, int]) -> dict[str, Any]:
    """The acceptance of the whole, each source by its number of rows; its interval from theirs.

    The method of variance estimates recovery (Zou 2008): it needs no other assumption than the intervals.
    """
    judged = {source: counts for source, counts in sources.items() if counts["judged"]}
    everything = sum(rows[source] for source in judged)
    mean, below, above = 0.0, 0.0, 0.0
    for source, counts in judged.items():
        weight, acceptance = rows[source] / everything, counts["accepted"] / counts["judged"]
        low, high = wilson_interval(counts["accepted"], counts["judged"])
        mean += weight * acceptance
        below += (weight * (acceptance - low)) ** 2
        above += (weight * (high - acceptance)) ** 2
    interval = (max(0.0, mean - math.sqrt(below)), min(1.0, mean + math.sqrt(above))) if judged else (0, 1)
    return {
        **{key: sum(counts[key] for counts in sources.values()) for key in ("judged", "accepted", "unsure")},
        "acceptance": round(mean, 4) if judged else None,
        "interval": [round(limit, 4) for limit in interval],
    }


def _agreement(one: Verdicts, other: Verdicts) -> dict[str, Any]:
    both = [(one.verdicts[row], other.verdicts[row]) for row in one.verdicts if row in other.verdicts]
    pairs = [pair for pair in both if UNSURE not in pair]  # two who cannot say do not agree on anything
    kappa = cohens_kappa(pairs)
    return {
        "reviewers": [one.reviewer, other.reviewer],
        "rows": len(pairs),
        "same": sum(first == second for first, second in pairs),
        "kappa": None if kappa is None else round(kappa, 4),
    }


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion; of none observed, the whole range."""
    if not n:
        return 0.0, 1.0
    z, share = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two reviewers' verdicts on the same rows; None where chance alone would agree."""
    if not pairs:
        return None
    first, second = (Counter(side) for side in zip(*pairs, strict=True))
    observed = sum(one == other for one, other in pairs) / len(pairs)
    chance = sum(first[verdict] * second[verdict] for verdict in first) / len(pairs) ** 2
    return None if chance == 1 else (observed - chance) / (1 - chance)
