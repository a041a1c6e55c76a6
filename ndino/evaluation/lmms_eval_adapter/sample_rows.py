"""The rows of a task's log: what was asked, answered and shown; and where today's data differ from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ndino.evaluation.lmms_eval_adapter.answering import image_digests
from ndino.evaluation.lmms_eval_adapter.evaluator import EvaluatedSample, is_number
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.parts import parts_of
from ndino.evaluation.tasks.framework.instructions import without_instruction
from ndino.evaluation.tasks.framework.question_groups import group_scores

NAMED = 2  # documents that a difference names


def shown_images(task: LoadedTask, doc_id: int, seen: Mapping[int, list[str]]) -> list[str] | None:
    """The digests of the images that a question showed; None where it showed something else.

    Args:
        seen: what this process noted while it answered; another one may have answered the question.
    """
    return seen[doc_id] if doc_id in seen else image_digests(task.images(doc_id))


def sample_rows(
    task: LoadedTask,
    samples: Sequence[EvaluatedSample],
    shown: Mapping[int, list[str] | None],
    doc_hashes: Mapping[int, str],
    *,
    shuffled: bool,
    parts: Sequence[str],
) -> list[dict[str, Any]]:
    """The rows of answered documents, with the digests of the images that they showed.

    Args:
        shown: by document, see `shown_images`.
        doc_hashes: by document, those of the rows with right images; of the others they are made.
        parts: columns of the documents, see `parts_of`.
    """
    rows = []
    groups = group_scores([sample.values for sample in samples])
    for sample, scores in zip(samples, groups, strict=True):
        row = _row(sample, shown[sample.doc_id], doc_hashes.get(sample.doc_id), task.code, shuffled=shuffled)
        row["metrics"] |= scores
        row |= {"parts": found} if (found := parts_of(sample.document, parts)) else {}
        rows.append(row | task.log_fields(sample.document, row["answer"]))
    return rows


def _row(
    sample: EvaluatedSample,
    shown: list[str] | None,
    doc_hash: str | None,
    code: str | None,
    *,
    shuffled: bool,
) -> dict[str, Any]:
    # lmms-eval's own doc_hash is the same for every document of a task.
    content = json.dumps(sample.document, sort_keys=True, ensure_ascii=False, default=str)
    content += json.dumps(shown)
    return {
        "doc_id": sample.doc_id,
        "doc_hash": doc_hash or hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:32],
        **_asked(sample.prompt, code),
        **_images(shown),
        "target": _target(sample.target),
        # An unpaired surrogate cannot be written as UTF-8.
        "answer": str(sample.answer).encode(errors="replace").decode(),
        "metrics": {metric: float(value) for metric, value in sample.values.items() if is_number(value)},
        "shuffled": shuffled,
        **({"letters": sample.letters} if sample.letters else {}),
    }


def difference(task: LoadedTask, size: int, rows: Sequence[Mapping[str, Any]]) -> str:
    """What the first ``size`` documents of a task no longer have in common with an earlier log of it.

    Images are decoded up to the second that differs, and only where all questions and answers are the same.
    """
    earlier = {row["doc_id"]: row for row in rows}
    both = [number for number in range(size) if number in earlier]

    def differ(now: Mapping[str, Any], number: int) -> bool:
        return any(earlier[number].get(name) != value for name, value in now.items())

    texts = [
        number
        for number in both
        if differ({**_asked(task.prompt(number), task.code), "target": _target(task.target(number))}, number)
    ]
    if texts:
        return f"other questions or right answers: {_named(texts)}"
    images = []
    for number in both:
        if differ({"image_sha256": None} | _images(image_digests(task.images(number))), number):
            images.append(number)
            if len(images) > NAMED:
                break
    if images:
        return f"other images: {_named(images)}"
    return "more or fewer rows" if len(both) < max(size, len(rows)) else "nothing that was asked"


def _named(documents: Sequence[int]) -> str:
    named = ", ".join(map(str, documents[:NAMED])) + (", …" if len(documents) > NAMED else "")
    return f"document{'s' if len(documents) > 1 else ''} {named}"


def _asked(prompt: str, code: str | None) -> dict[str, str]:
    question = prompt if code is None else without_instruction(prompt, code)
    digest = hashlib.sha256(question.encode(errors="surrogatepass")).hexdigest()
    return {"question": question, "question_sha256": digest}


def _images(shown: list[str] | None) -> dict[str, Any]:
    return {"image_sha256": shown[0] if len(shown) == 1 else shown} if shown else {}


def _target(target: Any) -> str | list[str]:
    return [str(each) for each in target] if isinstance(target, list) else str(target)
