"""A leaderboard file: a row a model, and of each column what makes its scores comparable.

    {"format": "ndino leaderboard", "schema": 1,
     "columns": {KEY: see `ScoreColumn`}, "perplexity_columns": {KEY: see `PerplexityColumn`},
     "models": {NAME: {"suite": digest, "answers": {what they depend on: text},
                       "scores": {KEY: {"score", "blind", ...}}, "perplexity": {KEY: {...}}}}}

A column's KEY is a digest of what it says; numbers are those of ``summary.json``. ``suite`` and ``blind``
follow from the rest and are not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ndino.common.files import key_of
from ndino.common.parsing import parse_row
from ndino.results.logs import ResultsError
from ndino.results.logs.fields import field, interval_field, number_fields
from ndino.results.logs.judged import judged_mean
from ndino.results.summary import RESERVED
from ndino.results.verdicts import verdict_of

FILE, FORMAT, SCHEMA = "leaderboard.json", "ndino leaderboard", 1
WRITTEN_BY = f"give a {FILE} that ndino report RUN --leaderboard wrote"
ROUNDING = 2e-6  # of two figures with six digits each, and their difference
LONGEST = 200  # characters of a name
_NUMBER = (int, float)
_NUMBER_OR_NOT = (int, float, type(None))


def digest(value: Any) -> str:
    return key_of(json.dumps(value, sort_keys=True))


@dataclass(frozen=True)
class ScoreColumn:
    """What a score is of. Scores with the same column can be compared, others cannot.

    Attributes:
        origin: native, translated, or None where nothing says it.
        questions: digest of the questions that were asked, with their images and right answers.
        settings: what else the score depends on, such as prompts, generation and the language's words.
        n, images, majority: as in a summary.
    """

    task: str
    origin: str | None
    version: str
    metric: str
    lower_is_better: bool
    questions: str
    settings: Mapping[str, str]
    n: int
    images: int | None
    majority: float | None

    @property
    def key(self) -> str:
        return digest([self.task, self.version, self.metric, self.questions, dict(self.settings)])


@dataclass(frozen=True)
class PerplexityColumn:
    """What a perplexity is of: the set, a digest of the answers that count, and the code that measured it."""

    set: str
    answers: str
    scorer: str
    n: int

    @property
    def key(self) -> str:
        return digest([self.set, self.answers, self.scorer])


@dataclass(frozen=True)
class ModelRow:
    """A model's scores and perplexities by column key; both are entries of a summary.

    Attributes:
        answers: what its answers depend on: digests of weights and settings, packages, device.
    """

    answers: Mapping[str, str]
    scores: Mapping[str, Mapping[str, Any]]
    perplexity: Mapping[str, Mapping[str, Any]]

    @property
    def suite(self) -> str:
        """Digest of the columns that it has scores in."""
        return digest(sorted(self.scores))


@dataclass(frozen=True)
class Leaderboard:
    columns: Mapping[str, ScoreColumn]
    perplexity_columns: Mapping[str, PerplexityColumn]
    models: Mapping[str, ModelRow]

    def entry(self, name: str, key: str) -> dict[str, Any]:
        """A model's score as a summary has it, with the other metrics by their names."""
        score, column = self.models[name].scores[key], self.columns[key]
        own = {name: value for name, value in score.items() if name not in ("metrics", "score")}
        stated = {
            "metric": column.metric,
            "lower_is_better": column.lower_is_better,
            column.metric: score["score"],
        }
        shared = {
            "n": column.n,
            "images": column.images,
            "majority": column.majority,
            "origin": column.origin,
        }
        return {**score["metrics"], **own, **shared, **stated}

    def text(self) -> str:
        """The file's content; the same leaderboard gives the same text."""
        models = {
            name: {
                **asdict(row),
                "suite": row.suite,
                "scores": {key: {**row.scores[key], "blind": self._blind(name, key)} for key in row.scores},
            }
            for name, row in self.models.items()
        }
        whole = {
            "format": FORMAT,
            "schema": SCHEMA,
            "columns": {key: asdict(column) for key, column in self.columns.items()},
            "perplexity_columns": {key: asdict(column) for key, column in self.perplexity_columns.items()},
            "models": models,
        }
        return json.dumps(whole, indent=1, sort_keys=True, allow_nan=False) + "\n"

    def _blind(self, name: str, key: str) -> bool | None:
        return {"sees": False, "blind": True}.get(verdict_of(self.entry(name, key)))


def read(path: Path) -> Leaderboard:
    """Read a leaderboard file, whoever wrote it.

    Raises:
        ResultsError: it is broken, something else, of a newer schema, or does not fit together.
    """
    whole = _content(path)
    schema = whole.get("schema")
    if whole.get("format") != FORMAT or not isinstance(schema, int) or isinstance(schema, bool):
        raise ResultsError(path, f"is no {FORMAT}", remedy=WRITTEN_BY)
    if schema != SCHEMA:
        reason = f"has schema {schema}, and this version reads {SCHEMA}"
        raise ResultsError(path, reason, remedy="update this checkout (git pull, make setup)")
    columns = {key: _column(each, path) for key, each in _named(whole, "columns", path)}
    perplexities = {
        key: _perplexity_column(each, path) for key, each in _named(whole, "perplexity_columns", path)
    }
    for key, column in (*columns.items(), *perplexities.items()):
        if column.key != key:
            raise ResultsError(
                path, f"column {key:.40} was changed: its key is of something else", remedy=WRITTEN_BY
            )
    models = {}
    for name, row in _named(whole, "models", path):
        if not name.strip() or len(name) > LONGEST:
            raise ResultsError(
                path, f"{name!r:.80} is no name of a model", remedy=f"1 to {LONGEST} characters"
            )
        models[name] = ModelRow(
            answers=_texts(row, "answers", path),
            scores={key: _score(each, path) for key, each in _named(row, "scores", path)},
            perplexity={key: _perplexity(each, path) for key, each in _named(row, "perplexity", path)},
        )
        _check_columns(path, name, models[name].scores, columns)
        _check_columns(path, name, models[name].perplexity, perplexities)
        for key, score in models[name].scores.items():
            if (reason := _contradiction(score)) is not None:
                where = f"model {name!r:.80}, {columns[key].task:.80}"
                raise ResultsError(path, f"{where}: {reason}", remedy=WRITTEN_BY)
    if not models:
        raise ResultsError(path, "has no model", remedy=WRITTEN_BY)
    return Leaderboard(columns, perplexities, models)


def _content(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise ResultsError(
            path, "is a folder", remedy=f"ndino report {path} --leaderboard writes the file of a run"
        )
    try:
        value = parse_row(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not readable as JSON: {error}"
        raise ResultsError(path, str(reason), remedy=WRITTEN_BY) from None
    return value if isinstance(value, dict) else {}


def _named(value: dict[str, Any], key: str, path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    found = field(value, key, dict, path)
    return [(name, field(found, name, dict, path)) for name in found]


def _texts(value: dict[str, Any], key: str, path: Path) -> dict[str, str]:
    found = field(value, key, dict, path)
    return {name: field(found, name, str, path) for name in found}


def _check_columns(path: Path, name: str, keys: Iterable[str], columns: Iterable[str]) -> None:
    if unknown := sorted({*keys} - {*columns}):
        reason = f"model {name!r:.80} has a number in the column {unknown[0]:.40}, which is missing"
        raise ResultsError(path, reason, remedy=WRITTEN_BY)


def _contradiction(score: Mapping[str, Any]) -> str | None:
    """What figures of a score cannot be true together, as after an edit by hand."""
    value, (lower, upper) = score["score"], score["interval"]
    if not lower - ROUNDING <= value <= upper + ROUNDING:
        return f"the score {value} lies outside its interval {score['interval']}"
    if not score["fractional"] and not _is_share(value):
        return f"the score {value} is no share from 0 to 1"
    gain, shuffled = score["right_minus_shuffled"], score["shuffled"]
    if gain is not None and abs(value - shuffled - gain) > ROUNDING:
        return f"right_minus_shuffled is {gain}, and {value} - {shuffled} is another number"
    for judged in score["judged"]:
        if not all(map(_is_share, (judged["mean"], *judged["interval"]))):
            return f"the verdicts of {judged['judge']:.80} have the mean {judged['mean']}, not from 0 to 1"
        if judged["kappa"] is not None and not -1 <= judged["kappa"] <= 1:
            return f"the kappa of {judged['judge']:.80} is {judged['kappa']}, not from -1 to 1"
        if judged["judged"] + judged["unreadable"] > judged["n"]:
            return f"{judged['judge']:.80} has more verdicts than there are answers, {judged['n']}"
    return None


def _is_share(value: float) -> bool:
    return -ROUNDING <= value <= 1 + ROUNDING


def _column(value: dict[str, Any], path: Path) -> ScoreColumn:
    origin, metric = field(value, "origin", (str, type(None)), path), field(value, "metric", str, path)
    if metric in RESERVED:
        raise ResultsError(path, f"a metric cannot be named '{metric}'", remedy=WRITTEN_BY)
    return ScoreColumn(
        task=field(value, "task", str, path),
        origin=origin if origin in ("native", "translated") else None,
        version=field(value, "version", str, path),
        metric=metric,
        lower_is_better=field(value, "lower_is_better", bool, path),
        questions=field(value, "questions", str, path),
        settings=_texts(value, "settings", path),
        n=_count(value, "n", path),
        images=None if value.get("images") is None else _count(value, "images", path),
        majority=field(value, "majority", _NUMBER_OR_NOT, path),
    )


def _perplexity_column(value: dict[str, Any], path: Path) -> PerplexityColumn:
    names = ("set", "answers", "scorer")
    return PerplexityColumn(*(field(value, name, str, path) for name in names), n=_count(value, "n", path))


def _count(value: dict[str, Any], key: str, path: Path) -> int:
    found = field(value, key, int, path)
    if found < 1:
        raise ResultsError(path, f"field '{key}' is {found}, not 1 or more", remedy=WRITTEN_BY)
    return found


def _score(value: dict[str, Any], path: Path) -> dict[str, Any]:
    controlled = field(value, "shuffled", _NUMBER_OR_NOT, path) is not None
    made_with = field(value, "made_with", dict, path)
    judged = field(value, "judged", list, path)
    return {
        "score": field(value, "score", _NUMBER, path),
        "interval": [*interval_field(value, "interval", path)],
        "fractional": field(value, "fractional", bool, path),
        "shuffled": value["shuffled"],
        "shuffles": field(value, "shuffles", int, path),
        "blank": field(value, "blank", _NUMBER_OR_NOT, path),
        "right_minus_shuffled": field(value, "right_minus_shuffled", _NUMBER, path) if controlled else None,
        "right_minus_shuffled_interval": [*interval_field(value, "right_minus_shuffled_interval", path)]
        if controlled
        else None,
        "metrics": number_fields(value, "metrics", path),
        "judged": [
            asdict(judged_mean(field({"judged": each}, "judged", dict, path), path)) for each in judged
        ],
        "made_with": {name: field(made_with, name, (str, type(None)), path) for name in made_with},
    }


def _perplexity(value: dict[str, Any], path: Path) -> dict[str, Any]:
    numbers = {
        name: field(value, name, _NUMBER_OR_NOT, path) for name in ("paper", "shuffled", "bits_per_character")
    }
    counts = {name: field(value, name, int, path) for name in ("outliers", "skipped", "n")}
    interval = [*interval_field(value, "interval", path)] if value.get("interval") is not None else None
    return {"corpus": field(value, "corpus", _NUMBER, path), **numbers, **counts, "interval": interval}
