"""Sample logs of lmms-eval and of lm-evaluation-harness (``--log_samples``), whoever wrote them.

lmms-eval names them ``DATE_samples_TASK.jsonl``, the harness ``samples_TASK_DATE.jsonl``. A line holds
``doc_id``, ``target``, ``filtered_resps``, ``doc_hash``, and a key for each metric; the harness adds ``doc``,
``filter`` and ``metrics``. Neither says how a score is made, so scores from 0 to 1 are taken as they are, and
error rates above 1 too: the tests and intervals of fractional scores need no upper bound.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ndino.results.logs.directions import is_lower_better, may_exceed_one
from ndino.results.logs.fields import ResultsError, field, read_rows
from ndino.results.logs.samples import LoggedSample
from ndino.results.logs.tasks import ModelLogs, TaskLog

_NAME = re.compile(r"(?P<early>.+_)?samples_(?P<task>.+?)(?P<late>_\d{4}-\d\d-\d\dT[\d.-]+)?\.jsonl")
# Where a line may say which image it is about; the first that all lines have is taken.
_IMAGE_FIELDS = ("image_sha256", "input_media", "doc.image_id", "doc.img_id", "doc.image_path", "doc.image")
# What is no metric in a line.
_OTHERS = frozenset(
    {
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "doc_hash", "input", "filter"),
        *("prompt_hash", "target_hash", "metrics", "token_counts", "input_media", "image_sha256"),
        *("question_sha256", "schema_version"),
    }
)
_OTHER_LOG = "give a log that lmms-eval or lm-evaluation-harness wrote with --log_samples"


class UnusableTaskError(ResultsError):
    """A sound log of a task that has no score to compare, or not the metric or field that was asked for."""


def sample_logs(path: Path) -> list[Path]:
    """The sample logs that a path names: the file itself, or those in a folder, oldest first; else none."""
    if path.is_file():
        return [path]
    found = [(match, each) for each in path.glob("*.jsonl") if (match := _NAME.fullmatch(each.name))]
    return [
        each for _, each in sorted(found, key=lambda pair: (pair[0]["early"] or "", pair[0]["late"] or ""))
    ]


def task_of(path: Path) -> str | None:
    """The task in a log's name; None if the file has been renamed."""
    found = _NAME.fullmatch(path.name)
    return None if found is None else found["task"]


def read_foreign(
    paths: Sequence[Path], name: str, *, metric: str | None = None, cluster: str | None = None
) -> ModelLogs:
    """Read a model's sample logs, one for each task; of several for a task the newest.

    A task that has nothing to compare is left out with a note, unless no other task is left.

    Args:
        paths: from `sample_logs`.
        metric: which to compare; default: the first with scores from 0 to 1, or error rates.
        cluster: the field whose equal values make rows dependent, such as ``doc.image_id``; default: the
            image, if a field is known to name it.

    Raises:
        ResultsError: a line that cannot be used, a document twice, no such metric or field in any task.
    """
    newest = {task_of(path) or "samples": path for path in paths}
    left_out = [path for path in paths if path not in newest.values()]
    notes = [f"{name}: {path.name} is older than another log of its task and left out." for path in left_out]
    tasks: dict[str, TaskLog] = {}
    unusable: list[UnusableTaskError] = []
    tasks_of: dict[str, list[str]] = {}  # by what has to be said of them
    for task, path in sorted(newest.items()):
        try:
            tasks[task], said = _read_log(path, metric, cluster)
        except UnusableTaskError as error:
            unusable.append(error)
            notes.append(f"{name}: {task} is left out. {error}")
            continue
        for each in said:
            tasks_of.setdefault(each, []).append(task)
    if unusable and not tasks:
        raise unusable[0]
    notes += [f"{', '.join(where)}: {each}" for each, where in tasks_of.items()]
    return ModelLogs(name, tasks, tuple(notes))


@dataclass(frozen=True)
class _Document:
    """What a log says of one document: its first line with the number of that row, and all its scores."""

    row: int
    line: dict[str, Any]
    scores: dict[str, float]


def _read_log(path: Path, metric: str | None, cluster: str | None) -> tuple[TaskLog, list[str]]:
    """A log, and what has to be said of it."""
    found: dict[int, _Document] = {}
    for row, line in read_rows(path):
        number = field(line, "doc_id", int, path, row)
        document = found.setdefault(number, _Document(row, line, {}))
        for name, score in _scores(line):
            if name in document.scores:
                raise ResultsError(path, f"document {number} appears twice", row=row, remedy="remove one row")
            document.scores[name] = score
    if not found:
        raise UnusableTaskError(path, "no samples", remedy=_OTHER_LOG)
    documents = [found[number] for number in sorted(found)]
    names = dict.fromkeys(name for document in documents for name in document.scores)
    faults = {name: _fault(documents, name) for name in names}
    usable = [name for name, fault in faults.items() if fault is None]
    primary = _primary(path, faults, usable, metric, documents[0].line)
    order = [primary, *(other for other in usable if other != primary)]
    clustered = _cluster_field(path, [document.line for document in documents], cluster)
    samples = tuple(
        _sample(each.line, {name: each.scores[name] for name in order}, clustered) for each in documents
    )
    means = {name: fmean(sample.metrics[name] for sample in samples) for name in order}
    said = []
    if metric is None and len(order) > 1:
        others = "; ".join(order[1:])
        said.append(f"{primary} is compared. Also in the logs (choose with --metric): {others}.")
    if any(sample.metrics[primary] > 1 for sample in samples):
        said.append(f"{primary} is above 1 in some rows, as error rates can be; 1 is shown as 100 percent.")
    if clustered:
        said.append(f"rows with the same {clustered} are taken to be about the same image.")
    if is_lower_better(primary) is None:
        said.append(f"whether more or less {primary} is better is not known; more is taken to be.")
    if any(sample.doc_hash is None for sample in samples):
        said.append(
            f"{path} has rows without doc_hash, which are the same as others by number and target alone."
        )
    return TaskLog(path, None, samples, (), means, {}, primary_is_chosen=True), said


def _scores(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """A line's numeric metrics, each with the name of its filter where the harness has several."""
    named = line.get("metrics")
    names = named if isinstance(named, list) else [key for key in line if key not in _OTHERS]
    chosen = line.get("filter", "none")
    for name in names:
        value = line.get(name)
        if isinstance(value, Mapping):  # lmms-eval keeps what a total needs
            value = value.get("score")
        if isinstance(value, (int, float)):
            yield (name if chosen == "none" else f"{name},{chosen}"), float(value)


def _fault(documents: Sequence[_Document], name: str) -> str | None:
    """Where a metric is first missing or not from 0 to 1 (an error rate: negative or not finite), or None."""
    most = sys.float_info.max if may_exceed_one(name) else 1
    for document in documents:
        score = document.scores.get(name)
        if score is None:
            return f"row {document.row} has no number there"
        if not 0 <= score <= most:
            return f"row {document.row} has {score:g}"
    return None


def _primary(
    path: Path,
    faults: Mapping[str, str | None],
    usable: Sequence[str],
    metric: str | None,
    line: Mapping[str, Any],
) -> str:
    if metric in usable or (metric is None and usable):
        return metric or usable[0]
    if metric is not None:
        fault = faults.get(metric)
        reason = (
            f"{metric} is not a score from 0 to 1 in every row: {fault}" if fault else f"no metric {metric}"
        )
    elif faults:
        told = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
        reason = f"no metric is a score from 0 to 1 in every row: {told}"
    else:
        keys = ", ".join(sorted(set(line) - _OTHERS)) or "none"
        reason = f"no row has a metric that is a number (fields that could be one: {keys})"
        raise UnusableTaskError(path, reason, remedy=_OTHER_LOG)
    remedy = (
        f"choose from {', '.join(usable)}"
        if usable
        else "divide percentages by 100, repair or remove such rows"
    )
    raise UnusableTaskError(path, reason, remedy=remedy)


def _cluster_field(path: Path, lines: Sequence[Mapping[str, Any]], cluster: str | None) -> str | None:
    for name in (cluster,) if cluster else _IMAGE_FIELDS:
        missing = [line["doc_id"] for line in lines if _value(line, name) is None]
        if not missing:
            return name
        if cluster:
            reason = f"{len(missing)} rows have no {cluster}, the first document {missing[0]}"
            raise UnusableTaskError(path, reason, remedy=f"name a field that all have: {_names(lines[0])}")
    return None


def _value(line: Mapping[str, Any], name: str) -> str | None:
    """The text of a field, ``a.b`` for the field b of a; None where there is none or it is empty."""
    value: Any = line
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value in (None, "", [], {}):
        return None
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _names(line: Mapping[str, Any]) -> str:
    inner = [f"{key}.{name}" for key, value in line.items() if isinstance(value, Mapping) for name in value]
    return ", ".join([*(key for key in line if not isinstance(line[key], Mapping)), *inner][:20])


def _sample(line: Mapping[str, Any], metrics: Mapping[str, float], clustered: str | None) -> LoggedSample:
    answer = line.get("filtered_resps", "")
    asked = line.get("input", "")
    return LoggedSample(
        doc_id=line["doc_id"],
        doc_hash=None if line.get("doc_hash") is None else str(line["doc_hash"]),
        question=asked if isinstance(asked, str) else json.dumps(asked),
        target=str(line.get("target", "")),
        answer=answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False),
        metrics=metrics,
        image=None if clustered is None else _value(line, clustered),
    )
