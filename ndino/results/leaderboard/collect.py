"""The leaderboard of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ndino.results.leaderboard.rows import (
    Leaderboard,
    ModelRow,
    PerplexityColumn,
    ScoreColumn,
    digest,
)
from ndino.results.logs import PerplexityLog, RunLogs, TaskLog
from ndino.results.summary import RESERVED
from ndino.results.table_data import Summary

# What a score depends on that its column states anyway; "data" is of files, and not of what they say.
_STATED = frozenset({"version", "questions", "data"})
_KEPT = (
    *("interval", "fractional", "shuffled", "shuffles", "blank", "judged"),
    *("right_minus_shuffled", "right_minus_shuffled_interval"),
)


def collect(run: RunLogs, summary: Summary) -> Leaderboard:
    """The rows of all models of a run, whose summary is ``summary``."""
    columns: dict[str, ScoreColumn] = {}
    perplexity_columns: dict[str, PerplexityColumn] = {}
    models = {}
    for name, entries in summary["models"].items():
        scores: dict[str, Any] = {}
        for task, entry in entries.items():
            log = run.models[name].tasks[task]
            column = _column(task, log, entry)
            columns[column.key] = column
            scores[column.key] = _score(log, entry)
        perplexity: dict[str, Any] = {}
        for key, figures in summary["perplexity"].get(name, {}).items():
            found = _perplexity_column(run, key, run.perplexity[name][key])
            perplexity_columns[found.key] = found
            perplexity[found.key] = figures
        models[name] = ModelRow(_answers_of(run, name), scores, perplexity)
    return Leaderboard(columns, perplexity_columns, models)


def _column(task: str, log: TaskLog, entry: Mapping[str, Any]) -> ScoreColumn:
    depends = (log.stated.get("depends") or {}).get("task", {})
    return ScoreColumn(
        task=task,
        origin=entry["origin"],
        version="not stated" if log.version is None else str(log.version),
        metric=entry["metric"],
        lower_is_better=entry["lower_is_better"],
        questions=digest([[each.asked or each.doc_hash, each.image, each.target] for each in log.samples]),
        settings={name: _text(value) for name, value in depends.items() if name not in _STATED},
        n=entry["n"],
        images=entry["images"],
        majority=entry["majority"],
    )


def _score(log: TaskLog, entry: Mapping[str, Any]) -> dict[str, Any]:
    made_with = log.stated.get("made_with") or {}
    revisions = [revision for revision in made_with.get("data_revisions") or () if revision]
    data = (log.stated.get("depends") or {}).get("task", {}).get("data")
    return {
        "score": entry[entry["metric"]],
        **{name: entry[name] for name in _KEPT},
        "metrics": {
            name: value for name, value in entry.items() if name not in RESERVED and name != entry["metric"]
        },
        "made_with": {
            "ndino": _text_or_none(made_with.get("ndino")),
            "commit": _text_or_none(made_with.get("commit")),
            "gpu": _text_or_none(made_with.get("gpu")),
            "data_revision": ", ".join(map(str, revisions)) or None,
            "data_files": _text_or_none(data),
        },
    }


def _perplexity_column(run: RunLogs, name: str, log: PerplexityLog) -> PerplexityColumn:
    answers = sorted(log.scored)
    if not log.contents:
        # An older log names answers, and those of other sets may have the same names: by its run's numbers.
        answers += [f"{model} {logs[name].corpus}" for model, logs in run.perplexity.items() if name in logs]
    return PerplexityColumn(name, digest(answers), log.scorer, log.n)


def _answers_of(run: RunLogs, name: str) -> dict[str, str]:
    """What a model's answers depend on, which is the same for all its tasks (`read_model` checks it)."""
    first = next(iter(run.models[name].tasks.values()))
    stated = (first.stated.get("depends") or {}).get("answers", {})
    return {key: _text(_published(value)) for key, value in stated.items()}


def _published(value: Any) -> Any:
    """A value as others may see it: of an address or a path, which are this machine's, a digest."""
    if isinstance(value, Mapping):
        return {key: _published(each) for key, each in value.items()}
    if isinstance(value, str) and ("://" in value or value.startswith(("/", "~", ".", "\\"))):
        return digest(value)
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)
