"""The score of a translation by its way back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ndino.data.translation.engines.apertium import Apertium
from ndino.data.translation.quality.back_translation import BackTranslation
from ndino.data.translation.quality.scorer import weakest
from ndino.data.translation.translator import Translated
from tests.data.translation.apertium_there import needs_apertium_back

RIGHT = {
    "How many dogs are in the house?": "Quanti cani ci sono nella casa?",
    "The man on the left is wearing a red hat.": "L'uomo a sinistra indossa un cappello rosso.",
    "The train is at the station.": "Il treno è alla stazione.",
}


class Backwards:
    """Knows a few ways back, and counts."""

    identity = "backwards"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def translate(self, texts: Sequence[str]) -> list[str | None]:
        self.asked += texts
        return [{"Un cane.": "a DOG.", "Un gatto.": "A car."}.get(text) for text in texts]


def test_the_score_is_chrf_of_the_way_back_without_case() -> None:
    scorer = BackTranslation(Backwards())
    same, other, cut = scorer.score(["A dog.", "A cat.", "A cow."], ["Un cane.", "Un gatto.", "Una mucca."])
    assert (same, cut) == (1.0, 0.0)
    # "acar." and "acat." share 4 of 5 letters, 2 of 4 pairs, 1 of 3 triples, and nothing longer.
    assert other == pytest.approx((4 / 5 + 2 / 4 + 1 / 3) / 5, abs=0.0001)


def test_equal_translations_are_translated_back_once() -> None:
    translator = Backwards()
    scores = BackTranslation(translator).score(["A dog.", "One dog.", "A dog."], ["Un cane."] * 3)
    assert translator.asked == ["Un cane."]
    assert scores[0] == scores[2] == 1.0 > scores[1]


def test_a_text_is_as_good_as_its_weakest_part() -> None:
    parts = [Translated("a", quality=0.9), Translated("b"), Translated("c", quality=0.4)]
    assert weakest(parts) == 0.4
    assert weakest([Translated("a"), Translated(None, "empty translation")]) is None


class TestWithApertium:
    pytestmark = needs_apertium_back

    def test_right_translations_score_higher_than_those_of_other_texts(self) -> None:
        scorer = BackTranslation(Apertium("ita", "eng"))
        sources, right = list(RIGHT), list(RIGHT.values())
        good = scorer.score(sources, right)
        wrong = scorer.score(sources, [*right[1:], right[0]])
        assert min(good) > max(wrong) + 0.2
