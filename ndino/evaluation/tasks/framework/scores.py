"""What an answer scores: the paper's exact match, and our ``robust`` and other metrics.

``code`` is that of the language in which an answer is read, such as ``it``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ndino.evaluation.lmms_eval_adapter.metrics import exact_match_ignoring_case_and_punctuation
from ndino.languages.answers import reader
from ndino.languages.identify import language_of
from ndino.languages.text import clean

if TYPE_CHECKING:
    from sacrebleu import CHRF


def exact_match(answer: str, targets: Sequence[str]) -> float:
    """The paper's exact match, which ignores case and punctuation: 1 if any target matches, else 0.

    lmms-eval strips an answer before it scores it.
    """
    said = answer.strip()
    return float(any(exact_match_ignoring_case_and_punctuation(said, target) for target in targets))


def same_answer(answer: str, target: str, code: str) -> bool:
    """Whether two short answers mean the same; where the target is yes or no, the first word decides."""
    return reader(code).means(answer, target)


def contains_answer(answer: str, target: str, code: str) -> bool:
    """Whether an answer, long or short, gives the target: as `same_answer`, or among other words.

    A target that a denial stands before does not count, nor a yes or no that is not the first word.
    """
    answers = reader(code)
    if answers.only_yes_or_no(target) is not None:
        return same_answer(answer, target, code)
    return answers.contains(answer, target)


def contains_text(answer: str, target: str) -> float:
    """MTVQA's own score as VLMEvalKit computes it: 1 if the target is part of the answer as text, else 0.

    Case and full stops are ignored, nothing else: "rosso" is in "arrossire".
    """
    said, wanted = (text.strip().lower().replace(".", "") for text in (answer, target))
    return float(wanted in said)


def score_short_answer(answer: str, targets: Sequence[str], code: str) -> dict[str, float]:
    """``exact_match`` as in the paper, ``robust``, and ``contains`` for verbose answers; each is 0 or 1."""
    return {
        "exact_match": exact_match(answer, targets),
        "robust": float(any(same_answer(answer, target, code) for target in targets)),
        "contains": float(any(contains_answer(answer, target, code) for target in targets)),
    }


def score_letter(
    answer: str, target: str, letters: str, code: str, choices: Mapping[str, str] | None = None
) -> dict[str, float]:
    """``robust``, and ``unparseable`` where no single option could be read; each is 0 or 1.

    The target is read like the answer: it may be "(B)", or the text of an option.

    Args:
        letters: the options that exist, such as ``"ABCD"``.
        choices: the options' texts by letter; an answer that repeats one of them counts as its letter.
    """
    said, wanted = (reader(code).letter(text, letters, choices) for text in (answer, target))
    return {"robust": float(said is not None and said == wanted), "unparseable": float(said is None)}


def score_long_answer(answer: str, *references: str) -> dict[str, float]:
    """``chrf``: sentence-level chrF, 0 to 1, against the reference that is most like the answer;
    ``unparseable``: no letter or digit.
    """
    said = clean(answer)
    empty = says_nothing(said)
    score = 0.0 if empty else _chrf().sentence_score(said, [*map(clean, references)]).score / 100
    # Rounding can push sacrebleu's average slightly above 1.
    return {"chrf": min(1.0, score), "unparseable": float(empty)}


def says_nothing(answer: str) -> bool:
    """Whether an answer has no letter or digit."""
    return not any(map(str.isalnum, answer))


def count_words(answer: str) -> float:
    """How many words an answer has: what spaces divide, without lone punctuation."""
    return float(sum(not says_nothing(word) for word in answer.split()))


def score_language(answer: str, code: str) -> dict[str, float]:
    """In which language a long answer is: one of ``in_language``, ``in_english``, ``in_other_language`` and
    ``language_undecided`` is 1.

    For long answers only: of single words it cannot be told (`ndino.languages.identify.language_of`).
    """
    found = language_of(answer, code)
    return {
        "in_language": float(found == code),
        "in_english": float(found == "en" and code != "en"),
        "in_other_language": float(found not in (None, "en", code)),
        "language_undecided": float(found is None),
    }


@lru_cache(maxsize=1)
def _chrf() -> CHRF:
    from sacrebleu import CHRF

    return CHRF()
