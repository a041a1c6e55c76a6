"""Example cards: an image with its question, reference and every model's answer (the paper's Figure 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from PIL import Image

from ndino.common.images import BROKEN_IMAGE, data_url
from ndino.common.markdown import percent
from ndino.results.logs import LoggedSample, ResultsError, RunLogs, TaskLog
from ndino.results.summary import model_order

IMAGE_SIDE = 320  # pixels of the longer side; images are embedded in the page, which must stay small
ANSWER_LENGTH = 600  # characters shown; a model that never emits its end token would fill the page

Mark = Literal["right", "wrong", "partly right", "not scored"]


@dataclass(frozen=True)
class ModelAnswer:
    model: str
    text: str
    mark: Mark
    score: str


@dataclass(frozen=True)
class ExampleCard:
    """One document with every model's answer.

    ``image`` is a data URI. ``groups`` holds the indices of the filters that keep this card.
    """

    question: str
    target: str
    image: str
    answers: tuple[ModelAnswer, ...]
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class CardFilter:
    """A choice of cards by which models are right; ``empty`` holds the indices of tasks without one."""

    label: str
    empty: tuple[int, ...]


@dataclass(frozen=True)
class ExampleCards:
    """All cards by task, and the filters a reader can choose from.

    The page refers to tasks and filters by index: their names may hold characters that no CSS selector can.
    """

    tasks: Mapping[str, Sequence[ExampleCard]]
    filters: Sequence[CardFilter]


def clip(text: str, limit: int = ANSWER_LENGTH) -> str:
    """Cut a text to ``limit`` characters; a cut text ends with its full length."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters)"


def image_uri(path: Path) -> str:
    """Encode a small WebP copy of an image as a data URI. Raises ResultsError for an unreadable image."""
    try:
        with Image.open(path) as image:
            copy = image.convert("RGB")
    except BROKEN_IMAGE as error:
        reason = f"not readable as an image: {error}"
        raise ResultsError(path, reason, remedy="delete it or rerun the evaluation") from None
    copy.thumbnail((IMAGE_SIDE, IMAGE_SIDE))
    return data_url(copy, "WEBP", quality=85)


def _answer(model: str, sample: LoggedSample, log: TaskLog) -> ModelAnswer:
    score = sample.metrics[log.primary]
    mark: Mark = "right" if score == 1 else "wrong" if score == 0 else "partly right"
    if log.primary == "in_language":
        mark = "not scored"
    return ModelAnswer(model, clip(sample.answer.strip()), mark, percent(score))


def _reference_text(document: LoggedSample) -> str:
    """The target; several targets (OK-VQA has ten annotators) are each listed once, with their count."""
    if isinstance(document.target, str):
        return clip(document.target)
    counted = Counter(document.target).items()
    return clip(" / ".join(f"{text} (×{count})" if count > 1 else text for text, count in counted))


def read_examples(run: RunLogs, tasks: Sequence[str]) -> ExampleCards:
    """Make cards for all documents whose image the evaluation saved (RUN/eval/images/TASK/DOC_ID.png).

    Raises ResultsError for an unreadable image.
    """
    found = {task: _task_cards(run, task) for task in tasks}
    found = {task: cards for task, cards in found.items() if cards}
    models = model_order(
        list({answer.model for cards in found.values() for c in cards for answer in c.answers})
    )
    chosen: list[tuple[str, Callable[[ExampleCard], bool]]] = [("any", lambda card: True)]
    if len(models) > 1:
        chosen += [
            ("all are right", lambda card: models_right(card) == {answer.model for answer in card.answers}),
            ("nobody is right", lambda card: _scored(card) and not models_right(card)),
            ("they differ", lambda card: 0 < len(models_right(card)) < len(card.answers)),
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
        CardFilter(
            label,
            tuple(n for n, cards in enumerate(passed.values()) if not any(i in c.groups for c in cards)),
        )
        for i, (label, _) in enumerate(chosen)
    ]
    return ExampleCards(passed, filters)


def models_right(card: ExampleCard) -> set[str]:
    return {answer.model for answer in card.answers if answer.mark == "right"}


def _scored(card: ExampleCard) -> bool:
    return all(answer.mark != "not scored" for answer in card.answers)


def _is_right(model: str, card: ExampleCard) -> bool:
    return model in models_right(card)


def _task_cards(run: RunLogs, task: str) -> list[ExampleCard]:
    models = [run.models[name] for name in model_order(list(run.models))]
    logs = {model.name: model.tasks[task] for model in models if task in model.tasks}
    folder = run.folder / "eval" / "images" / task
    images = {int(path.stem): path for path in folder.glob("*.png") if path.stem.isdigit()}
    samples = {name: {each.doc_id: each for each in log.having().samples} for name, log in logs.items()}
    cards = []
    for doc_id in sorted(images):
        answered = {name: own[doc_id] for name, own in samples.items() if doc_id in own}
        if not answered:
            continue
        document = next(iter(answered.values()))
        answers = tuple(_answer(name, sample, logs[name]) for name, sample in answered.items())
        cards.append(
            ExampleCard(
                clip(document.question), _reference_text(document), image_uri(images[doc_id]), answers
            )
        )
    return cards
