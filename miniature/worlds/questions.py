"""Questions of both worlds: with a short answer, or with four options."""

from __future__ import annotations

import random
from dataclasses import dataclass

LETTERS = "ABCD"


@dataclass(frozen=True)
class WorldQuestion:
    """A question with a short answer. ``text`` lacks the instruction that a task adds, such as "one word"."""

    kind: str
    text: str
    answer: str


@dataclass(frozen=True)
class ChoiceQuestion:
    """A question with four options; ``answer`` is the letter of the right one."""

    text: str
    options: tuple[str, str, str, str]
    answer: str


def make_choice(text: str, right: str, wrong: list[str], rng: random.Random) -> ChoiceQuestion:
    """Make a multiple-choice question from the right and three wrong options, in random order."""
    first, second, third = wrong
    options = [right, first, second, third]
    rng.shuffle(options)
    a, b, c, d = options
    return ChoiceQuestion(text, (a, b, c, d), LETTERS[options.index(right)])
