"""Score a translation by translating it back: chrF of the way back against the source."""

from __future__ import annotations

from collections.abc import Sequence

from ndino.data.translation.quality.scorer import DIGITS
from ndino.data.translation.translator import Translator


class BackTranslation:
    """Scores with ``translator``, which translates from the target language to the source's.

    The score is sacreBLEU's chrF, between 0 and 1, of the two sources in lower case: the share of character
    sequences of one to six letters that they have in common, recall weighed twice. It finds what was lost,
    added or misunderstood, but also suffers from what the way back does wrong, and a copy of the source
    scores high.
    """

    def __init__(self, translator: Translator) -> None:
        from sacrebleu.metrics.chrf import CHRF

        self._translator = translator
        self._chrf = CHRF(lowercase=True)
        self.identity = f"back-translation chrF2 by {translator.identity}"

    def score(self, sources: Sequence[str], translations: Sequence[str]) -> list[float]:
        """As `QualityScorer.score`; 0 where the way back does not come to its end."""
        distinct = list(dict.fromkeys(translations))
        back = dict(zip(distinct, self._translator.translate(distinct), strict=True))
        return [
            round(self._chrf.sentence_score(back[there] or "", [source]).score / 100, DIGITS)
            for source, there in zip(sources, translations, strict=True)
        ]
