"""The letters by whose likelihood a question of multiple choice is answered: which, and as what tokens."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ndino.evaluation.inference.prompting import answer_ids

# A letter with its ids behind the prompt.
Letter = tuple[str, tuple[int, ...]]
# In lmms-eval's ``generation_kwargs`` the letters of all of a task's options; in a row those of its own.
LETTERS = "letters"


def letters_of(
    tokenizer: Any,
    prompt: str,
    read: list[int],
    before: str,
    settings: Mapping[str, Any],
    document: Mapping[str, Any],
) -> tuple[Letter, ...]:
    """The letters that a row offers, with their ids.

    Args:
        prompt: the text before the answer.
        read: its ids, see `prompting.text_ids`.
        before: what stands between it and the letter, see `prompting.before_answer`.
        settings: lmms-eval's ``generation_kwargs``, whose ``letters`` are those of all options of the task.
        document: its field ``letters``, where it has one, names those of its own options.

    Raises:
        ValueError: there is none, or two of them are the same tokens.
    """
    offered = document.get(LETTERS)
    letters = [letter for letter in settings[LETTERS] if offered is None or letter in offered]
    if not letters:
        raise ValueError(f"it offers none of its task's letters, {', '.join(settings[LETTERS])}")
    ids = [tuple(answer_ids(tokenizer, prompt, read, before + letter)) for letter in letters]
    if not all(ids) or len({*ids}) < len(ids):
        raise ValueError(f"the tokenizer cannot tell its letters apart: {', '.join(letters)}")
    return tuple(zip(letters, ids, strict=True))


def written(letters: Sequence[Letter], values: Sequence[float]) -> str:
    """The log-probabilities of letters as a text, for the store of answers.

    Raises:
        RuntimeError: one is not finite.
    """
    if not all(map(math.isfinite, values)):
        raise RuntimeError("the model's probabilities are no finite numbers")
    return json.dumps({letter: value for (letter, _), value in zip(letters, values, strict=True)})


def likeliest(values: Mapping[str, float]) -> str:
    """The letter with the highest log-probability; of equal ones the first."""
    return max(values, key=values.__getitem__)
