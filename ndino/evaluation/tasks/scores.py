"""What an answer scores: the paper's exact match, and our ``robust``, ``unparseable`` and ``chrf``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ndino.evaluation.lmms_eval_adapter.metrics import exact_match_ignoring_case_and_punctuation
from ndino.languages.answers import clean, normalise, read_letter, read_yes_no

if TYPE_CHECKING:
    from sacrebleu import CHRF


def exact_match(answer: str, targets: Sequence[str]) -> float:
    """The paper's exact match, which ignores case and punctuation: 1 if any target matches, else 0."""
    return float(any(exact_match_ignoring_case_and_punctuation(answer, target) for target in targets))


def same_answer(answer: str, target: str) -> bool:
    """Whether two short answers mean the same; a yes or no is read from the first word."""
    if (wanted := read_yes_no(target)) and normalise(target) in ("si", "no"):
        return read_yes_no(answer) == wanted
    wanted_text = normalise(target)
    # A target of punctuation alone normalises to nothing, and would then match every such answer.
    return normalise(answer) == wanted_text if wanted_text else clean(answer) == clean(target)


def score_short_answer(answer: str, targets: Sequence[str]) -> dict[str, float]:
    """``exact_match`` as in the paper, and ``robust``; each is 0 or 1."""
    return {
        "exact_match": exact_match(answer, targets),
        "robust": float(any(same_answer(answer, target) for target in targets)),
    }


def score_letter(
    answer: str, target: str, letters: str, choices: Mapping[str, str] | None = None
) -> dict[str, float]:
    """``robust``, and ``unparseable`` where no single option could be read; each is 0 or 1.

    Args:
        letters: the options that exist, such as ``"ABCD"``.
        choices: the options' texts by letter; an answer that repeats one of them counts as its letter.
    """
    said = read_letter(answer, letters, choices)
    return {"robust": float(said == target.strip().upper()), "unparseable": float(said is None)}


def score_long_answer(answer: str, reference: str) -> dict[str, float]:
    """``chrf``: sentence-level chrF against the reference, 0 to 1; ``unparseable``: no letter or digit."""
    said, wanted = clean(answer), clean(reference)
    empty = not any(character.isalnum() for character in said)
    score = 0.0 if empty else _chrf().sentence_score(said, [wanted]).score / 100
    # Rounding can push sacrebleu's average slightly above 1.
    return {"chrf": min(1.0, score), "unparseable": float(empty)}


@lru_cache(maxsize=1)
def _chrf() -> CHRF:
    from sacrebleu import CHRF

    return CHRF()
