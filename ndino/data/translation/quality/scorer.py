"""The interface of a scorer, and the score of a text that was translated in parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ndino.data.translation.translator import Translated

DIGITS = 4  # that are kept of a score


class QualityScorer(Protocol):
    """Anything that scores translations by their sources; a higher score is a better translation."""

    identity: str
    """Name, fingerprint of the model and settings: equal identities mean equal scores."""

    def score(self, sources: Sequence[str], translations: Sequence[str]) -> list[float]:
        """One score per translation, in order, mostly from 0 to 1."""
        ...


def weakest(translated: Iterable[Translated]) -> float | None:
    """The lowest score of these texts, or None where none has one: a row is as good as its weakest part."""
    return min((one.quality for one in translated if one.quality is not None), default=None)
