"""The log of one task: a line a question, with its answer, its scores, and the identity of its image."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ndino.common.files import key_of
from ndino.results.logs import fields
from ndino.results.logs.fields import ResultsError
from ndino.results.statistics import Clusters

_NAMED = 10  # documents that an error names
_RERUN = "the data changed in between; rerun both evaluations"


@dataclass(frozen=True)
class LoggedSample:
    """One answered document.

    Attributes:
        doc_hash: digest of the document; None in somebody else's log that does not hold it.
        metrics: the document's score for each metric name.
        image: digest of the decoded image shown, several joined; "" where none was. None: an older log, which
            does not say.
        asked: digest of the question; None in older logs.
        parts: which part of the benchmark the document is in, such as {"category": "popular"}.
        group: what the rows of one question have in common that is asked with its options rotated.
        group_size: how many rows these are in a whole log; None in a log that does not say it.
        rotation: of the options, from 0; None in a log without.
        letter: the option read from the answer, "" for none; None in a log that does not say it.
    """

    doc_id: int
    doc_hash: str | None
    question: str
    target: str | tuple[str, ...]
    answer: str
    metrics: Mapping[str, float]
    image: str | None = None
    asked: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    group_size: int | None = None
    rotation: int | None = None
    letter: str | None = None


def images_of(samples: Sequence[LoggedSample]) -> Clusters | None:
    """Which documents share an image, or without one a question; None if the log does not say it."""
    if any(sample.image is None for sample in samples):
        return None
    return Clusters.of([_image_or_question(sample) for sample in samples])


def _image_or_question(sample: LoggedSample) -> Hashable:
    return sample.image or (sample.doc_id if sample.group is None else ("group", sample.group))


def questions_of(samples: Sequence[LoggedSample]) -> Clusters | None:
    """Which documents ask the same question, with the same target, about the same image."""
    if any(sample.image is None or sample.asked is None for sample in samples):
        return None
    return Clusters.of([(_image_or_question(sample), sample.asked, sample.target) for sample in samples])


def answers_digest(samples: Sequence[LoggedSample]) -> str:
    """A digest of a log's answers; another log's is the same only if all answers are."""
    return key_of(json.dumps([[sample.doc_id, sample.answer] for sample in samples]))


def read_samples(path: Path, *, shuffled: bool = False) -> tuple[LoggedSample, ...]:
    """Read one log of answers, sorted by document id.

    Raises ResultsError for a broken or incomplete row, a duplicate document, a row of the wrong kind (right
    images in a log of shuffled images or the reverse), rows of which only some name their image, and an empty
    file.
    """
    samples: dict[int, LoggedSample] = {}
    for row, value in fields.read_rows(path):
        sample = _sample(value, path, row)
        if fields.field(value, "shuffled", bool, path, row) != shuffled:
            kind = "shuffled" if shuffled else "right"
            reason = f"row has shuffled = {not shuffled}, but this is the log for {kind} images"
            raise ResultsError(path, reason, row=row, remedy="rerun the evaluation")
        if sample.doc_id in samples:
            raise ResultsError(
                path, f"document {sample.doc_id} appears twice", row=row, remedy="remove one row"
            )
        first = next(iter(samples.values()), sample)
        if (sample.image is None, sample.asked is None) != (first.image is None, first.asked is None):
            reason = "image_sha256 or question_sha256 is in some rows only"
            raise ResultsError(path, reason, row=row, remedy="rerun the evaluation")
        samples[sample.doc_id] = sample
    if not samples:
        raise ResultsError(path, "no samples", remedy="rerun the evaluation")
    return tuple(samples[doc_id] for doc_id in sorted(samples))


def _sample(value: dict[str, Any], path: Path, row: int) -> LoggedSample:
    target = fields.field(value, "target", (str, list), path, row)
    asked = image = None
    if "question_sha256" in value:
        asked = fields.field(value, "question_sha256", str, path, row)
    # A log that names its questions would also name their images: without any, none was shown.
    if asked is not None or "image_sha256" in value:
        shown = fields.field({"image_sha256": ""} | value, "image_sha256", (str, list), path, row)
        image = shown if isinstance(shown, str) else ",".join(map(str, shown))
    parts = fields.field({"parts": {}} | value, "parts", dict, path, row)
    letter = None
    if "letter" in value:
        letter = fields.field(value, "letter", (str, type(None)), path, row) or ""
    return LoggedSample(
        doc_id=fields.field(value, "doc_id", int, path, row),
        doc_hash=fields.field(value, "doc_hash", str, path, row),
        question=fields.field(value, "question", str, path, row),
        target=target if isinstance(target, str) else tuple(map(str, target)),
        answer=fields.field(value, "answer", str, path, row),
        metrics=fields.number_fields(value, "metrics", path, row),
        image=image,
        asked=asked,
        parts={name: fields.field(parts, name, str, path, row) for name in parts},
        group=fields.field({"question_group": None} | value, "question_group", (str, type(None)), path, row),
        group_size=fields.field({"group_size": None} | value, "group_size", (int, type(None)), path, row),
        rotation=fields.field({"rotation": None} | value, "rotation", (int, type(None)), path, row),
        letter=letter,
    )


def check_same_documents(
    path: Path, samples: Sequence[LoggedSample], others: Sequence[LoggedSample], name: str, *, images: bool
) -> None:
    """Raise ResultsError, naming ``path``, unless both have the same documents, hashes and targets.

    Args:
        images: whether both must have seen the same images, too; a control has not. Logs that do not name
            their images pass: whoever calls has to say so.
    """
    mine, theirs = ({sample.doc_id: sample for sample in side} for side in (samples, others))
    if mine.keys() != theirs.keys():
        here, there = sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())
        only = f"{len(here)} only here {here[:3]}, {len(there)} only there {there[:3]}"
        reason = f"not the same documents as {name}: {only}"
        raise ResultsError(path, reason, remedy="evaluate both on the same data and LIMIT")
    checked = {"image": "image"} if images else {}
    for attribute, word in {
        **checked,
        "asked": "question",
        "doc_hash": "doc_hash",
        "target": "target",
    }.items():
        pairs = {doc: (getattr(mine[doc], attribute), getattr(theirs[doc], attribute)) for doc in mine}
        different = [doc for doc, (a, b) in pairs.items() if a != b and a is not None and b is not None]
        if different:
            raise ResultsError(path, _difference(different, word, name), remedy=_RERUN)


def _difference(documents: Sequence[int], word: str, name: str) -> str:
    if len(documents) == 1:
        return f"document {documents[0]} has a different {word} than in {name}"
    named = ", ".join(map(str, documents[:_NAMED])) + (", …" if len(documents) > _NAMED else "")
    return f"{len(documents)} documents have a different {word} than in {name}: {named}"
