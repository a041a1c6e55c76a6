"""Perplexities of models on sets of answers: joined by content, counted on the answers that all scored."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ndino.results.logs.fields import ResultsError, field, read_json, read_rows
from ndino.results.logs.tasks import SHUFFLED
from ndino.results.statistics.clusters import Clusters, cluster_interval, ratio

# The paper leaves out answers with a higher perplexity.
OUTLIER = 1000.0


@dataclass(frozen=True)
class ScoredAnswer:
    """One scored answer: ``nll`` in nats over its ``tokens``; ``characters`` is 0 in older logs."""

    nll: float
    tokens: int
    perplexity: float
    image: str
    characters: int


@dataclass(frozen=True)
class PerplexityLog:
    """Perplexity of one model on one set of answers.

    ``paper`` is the paper's number, None when every answer is above the paper's outlier threshold. ``corpus``
    is the perplexity over all answer tokens, with its 95 % ``interval``; ``shuffled`` is the same with other
    samples' images. ``skipped`` counts answers that could not be scored. ``bits`` are those of a character,
    None in older logs.

    ``scorer`` names the code that measured it, with the versions of its rules and of how images are read;
    empty in older logs. ``ids`` name the rows; ``contents`` are their questions, answers and images, empty
    in older logs. ``scored`` has the scored rows by content, or by id in older logs.
    """

    path: Path
    paper: float | None
    corpus: float
    outliers: int
    n: int
    skipped: int
    interval: tuple[float, float] | None
    shuffled: float | None
    bits: float | None
    scorer: str
    ids: frozenset[str]
    contents: frozenset[str]
    scored: Mapping[str, ScoredAnswer]

    def on(self, rows: Sequence[str]) -> PerplexityLog:
        """The same counted on these rows of ``scored`` alone."""
        if len(rows) == len(self.scored):
            return self
        found = [self.scored[row] for row in rows]
        within = [answer.perplexity for answer in found if answer.perplexity <= OUTLIER]
        nll, tokens = [answer.nll for answer in found], [answer.tokens for answer in found]
        table = Clusters.of(images_of(self, rows)).sums(nll, tokens)
        low, high = cluster_interval(table, lambda sums: np.exp(ratio(sums)))
        characters = sum(answer.characters for answer in found)
        return replace(
            self,
            paper=sum(within) / len(within) if within else None,
            corpus=math.exp(sum(nll) / sum(tokens)),
            outliers=len(found) - len(within),
            n=len(found),
            interval=(low, high),
            bits=sum(nll) / math.log(2) / characters if characters else None,
            scored={row: self.scored[row] for row in rows},
        )


def images_of(log: PerplexityLog, rows: Sequence[str]) -> list[str]:
    """Which image each row shows; a row of an older log, which does not say it, has one of its own."""
    return [log.scored[row].image or row for row in rows]


def _read(path: Path) -> PerplexityLog:
    value = read_json(path)
    if value.get("depends", {}).get("task", {}).get("shuffled"):
        raise ResultsError(
            path,
            "holds the control with other images, under the name of a result",
            remedy=f"rename it and its .jsonl to {path.stem}{SHUFFLED}",
        )
    rows_path = path.with_suffix(".jsonl")
    ids: set[str] = set()
    contents: set[str] = set()
    scored: dict[str, ScoredAnswer] = {}
    seen: Counter[str] = Counter()
    for row, entry in read_rows(rows_path):
        row_id = str(field(entry, "id", (str, int), rows_path, row))
        if row_id in ids:
            raise ResultsError(rows_path, f"id {row_id} appears twice", row=row, remedy="remove one row")
        ids.add(row_id)
        key = row_id
        if entry.get("content"):
            # A set may hold an answer twice.
            seen[entry["content"]] += 1
            key = f"{entry['content']} {seen[entry['content']]}"
            contents.add(key)
        if not entry.get("skipped") and entry.get("nll") is not None:
            scored[key] = ScoredAnswer(
                float(field(entry, "nll", (int, float), rows_path, row)),
                field(entry, "answer_tokens", int, rows_path, row),
                float(field(entry, "perplexity", (int, float), rows_path, row)),
                str(entry.get("image", "")),
                int(entry.get("characters", 0)),
            )
    interval = None
    if value.get("interval") is not None:
        bounds: dict[str, Any] = dict(
            zip(("low", "high"), field(value, "interval", list, path), strict=False)
        )
        low, high = (float(field(bounds, key, (int, float), path)) for key in ("low", "high"))
        interval = (low, high)
    control = path.with_name(f"{path.stem}{SHUFFLED}.json")
    return PerplexityLog(
        path=path,
        paper=field(value, "paper", (int, float, type(None)), path),
        corpus=field(value, "corpus", (int, float), path),
        outliers=field(value, "outliers", int, path),
        n=field(value, "n", int, path),
        skipped=field({"skipped": 0} | value, "skipped", int, path),
        interval=interval,
        shuffled=field(read_json(control), "corpus", (int, float), control) if control.exists() else None,
        bits=field(
            {"bits_per_character": None} | value, "bits_per_character", (int, float, type(None)), path
        ),
        scorer=str(value.get("depends", {}).get("answers", {}).get("wrapper", "")),
        ids=frozenset(ids),
        contents=frozenset(contents),
        scored=scored,
    )


def read_perplexities(folder: Path) -> tuple[dict[str, dict[str, PerplexityLog]], list[str]]:
    """Read RUN/ppl, see `perplexities_of`."""
    return perplexities_of({path.name: path for path in sorted(folder.glob("*/"))})


def perplexities_of(folders: Mapping[str, Path]) -> tuple[dict[str, dict[str, PerplexityLog]], list[str]]:
    """Read folders as {model: {set: log}}, each set counted on the answers that all its models scored.

    Args:
        folders: by model, what `ndino perplexity` wrote to; one that does not exist has no perplexities.

    Returns:
        The logs, and a note for each model of which answers were left out.

    Raises:
        ResultsError: models were given different answers of a set, or scored none in common.
    """
    sets: dict[str, dict[str, PerplexityLog]] = {}
    for model, folder in folders.items():
        for path in sorted(folder.glob("*.json")):
            if not path.stem.endswith(SHUFFLED):
                sets.setdefault(path.stem, {})[model] = _read(path)
    found: dict[str, dict[str, PerplexityLog]] = {}
    notes: list[str] = []
    for name, logs in sets.items():
        _check_same_answers(logs)
        first = next(iter(logs.values()))
        common = [row for row in first.scored if all(row in log.scored for log in logs.values())]
        if not common and any(log.scored for log in logs.values()):
            raise ResultsError(
                first.path, f"no answer was scored by all of {', '.join(logs)}", remedy="see why in the rows"
            )
        for model, log in logs.items():
            if left := len(log.scored) - len(common):
                notes.append(
                    f"Perplexity of {model} on {name}: {left} of its {len(log.scored)} answers were not "
                    "scored by every model and are left out."
                )
            found.setdefault(model, {})[name] = log.on(common)
    return found, notes


def _check_same_answers(logs: Mapping[str, PerplexityLog]) -> None:
    name, reference = next(iter(logs.items()))
    for log in logs.values():
        if bool(log.contents) != bool(reference.contents):
            older = log if reference.contents else reference
            raise ResultsError(
                older.path, "does not say which answers it is of", remedy="measure it again with this version"
            )
        mine, theirs = (log.contents, reference.contents) if log.contents else (log.ids, reference.ids)
        if different := sorted(mine ^ theirs):
            reason = f"not the same answers as {name}: {len(different)} differ, e.g. {different[0]}"
            raise ResultsError(log.path, reason, remedy="run both on the same data")
        if log.scorer != reference.scorer:
            raise ResultsError(
                log.path,
                f"measured by {log.scorer or 'an earlier version'}, that of {name} by "
                f"{reference.scorer or 'an earlier version'}",
                remedy="rerun ndino perplexity for both with the same version",
            )
