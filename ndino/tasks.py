"""What the Italian tasks of ``tasks_it/`` share: prompts, pictures, and the scores of answers.

A task's own ``utils.py`` holds the rest. Prompts and paper metrics are those of the tasks released with the
paper; ``robust`` metrics stand beside them and read the same answers with ``ndino.answers``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ndino import shuffle
from ndino.answers import clean, normalise, read_letter, read_yes_no

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image
    from sacrebleu import CHRF

# The paper's two instructions; they follow the question.
SHORT_ANSWER = "\nRispondi utilizzando una sola parola o frase."
LETTER_ANSWER = "\nRispondi utilizzando la lettera dell'opzione corretta."

# lmms-eval's variable for the folder in which `datasets` keeps what it has read.
DATASETS_CACHE = "LMMS_EVAL_DATASETS_CACHE"

Document = Mapping[str, Any]


class TaskDataError(ValueError):
    """A benchmark's data that does not fit its schema; the message names the dataset and the field."""


def require_columns(dataset: Dataset, source: str, *columns: str) -> None:
    """Check a dataset's columns.

    Raises:
        TaskDataError: a column is missing, or there are no rows.
    """
    missing = [name for name in columns if name not in dataset.column_names]
    if missing:
        found = ", ".join(dataset.column_names)
        raise TaskDataError(f"{source}: no column {', '.join(missing)} among {found} (see the task's README)")
    if not len(dataset):
        raise TaskDataError(f"{source}: no rows")


def prepare(dataset: Dataset, source: str, *columns: str) -> Dataset:
    """``process_docs`` of a task with an ``image`` column: schema checked, pictures shuffled where asked.

    Raises:
        TaskDataError: see ``require_columns``; or too few pictures for the shuffled control.
    """
    require_columns(dataset, source, "image", *columns)
    if not shuffle.requested():
        return dataset
    try:
        return shuffle.shuffle_images(dataset)
    except ValueError as error:
        raise TaskDataError(f"{source}: {error}") from error


def picture(document: Document) -> list[Image]:
    """``doc_to_visual`` of a task with an ``image`` column."""
    return [document["image"].convert("RGB")]


@lru_cache(maxsize=2)
def _load_gqa_images(folder: str, cache: str | None) -> tuple[Dataset, dict[str, int], dict[str, str]]:
    # `folder` is the working directory, in which load_dataset looks first: another one is other data.
    from datasets import load_dataset

    images = load_dataset("lmms-lab/GQA", "testdev_balanced_images", split="testdev", cache_dir=cache)
    require_columns(images, "lmms-lab/GQA (testdev_balanced_images)", "id", "image")
    rows = {image_id: row for row, image_id in enumerate(images["id"])}
    return images, rows, shuffle.shuffle_map(rows) if len(rows) > 1 else {}


def _gqa_images() -> tuple[Dataset, dict[str, int], dict[str, str]]:
    """GQA's pictures, the row of each id, and for each id the one that stands in when shuffled."""
    return _load_gqa_images(os.getcwd(), os.environ.get(DATASETS_CACHE))


def gqa_image_ids() -> frozenset[str]:
    """The ids of GQA's pictures, indexed on first use; nothing is decoded."""
    return frozenset(_gqa_images()[1])


def gqa_image(image_id: str) -> Image:
    """Decode one picture of GQA; with ``NDINO_SHUFFLE=1``, the one that stands in for it."""
    images, rows, given = _gqa_images()
    if shuffle.requested():
        image_id = given[image_id]
    return images[rows[image_id]]["image"].convert("RGB")


def exact_match(answer: str, targets: Sequence[str]) -> float:
    """The paper's exact match: lmms-eval's own, case and punctuation ignored; any target may match."""
    from lmms_eval.api.metrics import exact_match_hf_evaluate

    scores = (
        exact_match_hf_evaluate([answer], [target], ignore_case=True, ignore_punctuation=True)["exact_match"]
        for target in targets
    )
    return float(any(scores))


def same_answer(answer: str, target: str) -> bool:
    """Whether two short answers mean the same; a yes or no is read from the first word."""
    if (wanted := read_yes_no(target)) and normalise(target) in ("si", "no"):
        return read_yes_no(answer) == wanted
    wanted_text = normalise(target)
    return normalise(answer) == wanted_text if wanted_text else clean(answer) == clean(target)


def score_short_answer(answer: str, targets: Sequence[str]) -> dict[str, float]:
    """``exact_match`` as in the paper and ``robust``, each 0 or 1."""
    return {
        "exact_match": exact_match(answer, targets),
        "robust": float(any(same_answer(answer, target) for target in targets)),
    }


def score_letter(
    answer: str, target: str, letters: str, choices: Mapping[str, str] | None = None
) -> dict[str, float]:
    """``robust`` and ``unparseable`` (no single option could be read), each 0 or 1."""
    said = read_letter(answer, letters, choices)
    return {"robust": float(said == target.strip().upper()), "unparseable": float(said is None)}


def score_long_answer(answer: str, reference: str) -> dict[str, float]:
    """``chrf``: sentence-level chrF against the reference, 0 to 1; ``unparseable``: no letter or digit."""
    said, wanted = clean(answer), clean(reference)
    empty = not any(character.isalnum() for character in said)
    score = 0.0 if empty else _chrf().sentence_score(said, [wanted]).score / 100
    # A sum of shares may pass 1 by a rounding.
    return {"chrf": min(1.0, score), "unparseable": float(empty)}


@lru_cache(maxsize=1)
def _chrf() -> CHRF:
    from sacrebleu import CHRF

    return CHRF()
