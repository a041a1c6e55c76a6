"""Example cards: a document's image, question and target beside every model's answer (as in Figure 2)."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image

from ndino.common.images import BROKEN_IMAGE
from ndino.results.logs import ResultsError, RunLogs, Sample, TaskLog
from ndino.results.summary import model_order
from ndino.results.tables import percent

IMAGE_SIDE = 320  # pixels; an image on the page is no larger
ANSWER_LENGTH = 600  # characters shown; a model that never stops would fill the page

Mark = Literal["right", "wrong", "partly right"]


@dataclass(frozen=True)
class Answer:
    model: str
    text: str
    mark: Mark
    score: str


@dataclass(frozen=True)
class Example:
    """One document with every model's answer; ``image`` is a data URI.

    ``groups`` are the numbers of the `Filter` that it passes.
    """

    question: str
    target: str
    image: str
    answers: tuple[Answer, ...]
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Filter:
    """A choice of examples by who is right; ``empty`` are the numbers of the tasks that have none."""

    label: str
    empty: tuple[int, ...]


@dataclass(frozen=True)
class Examples:
    """All cards by task, and what a reader may choose by. Tasks and filters are known by their numbers."""

    tasks: Mapping[str, Sequence[Example]]
    filters: Sequence[Filter]


def clip(text: str, limit: int = ANSWER_LENGTH) -> str:
    """The text, or its beginning and how long it was."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters)"


def image_uri(path: Path) -> str:
    """A small WebP copy of an image as data URI. Raises ResultsError when it cannot be read."""
    try:
        with Image.open(path) as image:
            copy = image.convert("RGB")
    except BROKEN_IMAGE as error:
        reason = f"not readable as an image: {error}"
        raise ResultsError(path, reason, remedy="delete it or evaluate again") from None
    copy.thumbnail((IMAGE_SIDE, IMAGE_SIDE))
    buffer = BytesIO()
    copy.save(buffer, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _answer(model: str, sample: Sample, log: TaskLog) -> Answer:
    score = sample.metrics[log.primary]
    mark: Mark = "right" if score == 1 else "wrong" if score == 0 else "partly right"
    return Answer(model, clip(sample.answer.strip()), mark, percent(score))


def _reference(document: Sample) -> str:
    """The target; of several (OK-VQA has ten annotators) each once, with how many gave it."""
    if isinstance(document.target, str):
        return clip(document.target)
    counted = Counter(document.target).items()
    return clip(" / ".join(f"{text} (×{count})" if count > 1 else text for text, count in counted))


def read_examples(run: RunLogs, tasks: Sequence[str]) -> Examples:
    """The documents whose image the evaluation kept (RUN/eval/images/TASK/DOC_ID.png), by task."""
    found = {task: _task_examples(run, task) for task in tasks}
    found = {task: cards for task, cards in found.items() if cards}
    models = model_order(
        list({answer.model for cards in found.values() for c in cards for answer in c.answers})
    )
    chosen: list[tuple[str, Callable[[Example], bool]]] = [("any", lambda card: True)]
    if len(models) > 1:
        chosen += [
            ("all are right", lambda card: _right(card) == {answer.model for answer in card.answers}),
            ("nobody is right", lambda card: not _right(card)),
            ("they differ", lambda card: 0 < len(_right(card)) < len(card.answers)),
        ]
    chosen += [(f"{model} is right", partial(_is_right, model)) for model in models]
    passed = {
        task: [
            replace(card, groups=tuple(i for i, (_, passes) in enumerate(chosen) if passes(card)))
            for card in cards
        ]
        for task, cards in found.items()
    }
    filters = [
        Filter(
            label,
            tuple(n for n, cards in enumerate(passed.values()) if not any(i in c.groups for c in cards)),
        )
        for i, (label, _) in enumerate(chosen)
    ]
    return Examples(passed, filters)


def _right(card: Example) -> set[str]:
    return {answer.model for answer in card.answers if answer.mark == "right"}


def _is_right(model: str, card: Example) -> bool:
    return model in _right(card)


def _task_examples(run: RunLogs, task: str) -> list[Example]:
    models = [run.models[name] for name in model_order(list(run.models))]
    logs = {model.name: model.tasks[task] for model in models if task in model.tasks}
    folder = run.folder / "eval" / "images" / task
    images = {int(path.stem): path for path in folder.glob("*.png") if path.stem.isdigit()}
    cards = []
    for doc_id in sorted(images):
        answered = {
            name: sample for name, log in logs.items() for sample in log.samples if sample.doc_id == doc_id
        }
        if not answered:
            continue
        document = next(iter(answered.values()))
        answers = tuple(_answer(name, sample, logs[name]) for name, sample in answered.items())
        cards.append(
            Example(clip(document.question), _reference(document), image_uri(images[doc_id]), answers)
        )
    return cards
