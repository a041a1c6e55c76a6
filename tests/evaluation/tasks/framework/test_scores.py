from __future__ import annotations

import pytest

from ndino.evaluation.tasks.framework.scores import (
    contains_answer,
    contains_text,
    count_words,
    exact_match,
    same_answer,
    score_language,
    score_letter,
    score_long_answer,
    score_short_answer,
)


@pytest.mark.parametrize(
    ("answer", "exact", "robust"),
    [("rosso", 1, 1), ("Rosso.", 1, 1), ("il rosso", 0, 1), ("blu", 0, 0), ("", 0, 0)],
)
def test_a_short_answer_has_a_strict_and_a_tolerant_score(answer, exact, robust):
    assert score_short_answer(answer, ["rosso"], "it") == {
        "exact_match": exact,
        "robust": robust,
        "contains": robust,
    }


def test_any_target_may_match():
    assert exact_match("due", ["tre", "due"]) == 1
    assert score_short_answer("2", ["tre", "due"], "it") == {"exact_match": 0, "robust": 1, "contains": 1}


@pytest.mark.parametrize(
    ("answer", "target", "same"),
    [
        ("Sì, c'è un gatto", "sì", True),
        ("No, sì", "sì", False),
        ("si", "sì", True),
        # The target must be yes or no itself: here the first word of the answer decides nothing.
        ("no", "no smoking", False),
        # Punctuation alone normalises to nothing and must not match every such answer.
        ("?", "!", False),
        ("!", "!", True),
    ],
)
def test_yes_no_and_punctuation_are_compared_in_their_own_way(answer, target, same):
    assert same_answer(answer, target, "it") is same


def test_a_yes_or_no_is_not_found_among_other_words():
    assert contains_answer("Sì, c'è un gatto", "sì", "it") and not contains_answer(
        "Un gatto, no?", "no", "it"
    )
    assert not contains_answer("Si vede un gatto", "sì", "it")
    assert contains_answer("Un gatto nero", "gatto", "it")


def test_the_text_of_the_target_is_looked_for_as_it_is():
    assert [contains_text("Arrossire!", target) for target in ("rossi", "ROSSI.", "rosso")] == [1, 1, 0]


def test_a_letter_is_right_wrong_or_unparseable():
    assert score_letter("La risposta è B", " b ", "ABCD", "it") == {"robust": 1, "unparseable": 0}
    assert score_letter("C", "B", "ABCD", "it") == {"robust": 0, "unparseable": 0}
    assert score_letter("B", "(b)", "ABCD", "it") == {"robust": 1, "unparseable": 0}
    assert score_letter("B", "9", "ABCD", "it") == {"robust": 0, "unparseable": 0}
    assert score_letter("boh", "9", "ABCD", "it") == {"robust": 0, "unparseable": 1}
    assert score_letter("boh", "B", "ABCD", "it") == {"robust": 0, "unparseable": 1}
    assert score_letter("un cane", "B", "AB", "it", {"A": "un gatto", "B": "il cane"})["robust"] == 1


def test_a_long_answer_shares_from_nothing_to_everything_with_its_reference():
    reference = "L'immagine mostra un gatto rosso."
    assert score_long_answer(reference, reference) == {"chrf": 1.0, "unparseable": 0.0}
    assert 0 < score_long_answer("Un gatto.", reference)["chrf"] < 1
    assert score_long_answer(" …", reference) == {"chrf": 0.0, "unparseable": 1.0}


@pytest.mark.parametrize(
    ("answer", "code", "metric"),
    [
        ("Nella foto si vede una donna che cammina con il suo cane lungo la spiaggia.", "it", "in_language"),
        ("The photo shows a woman who is walking along the beach with her dog.", "it", "in_english"),
        ("The photo shows a woman who is walking along the beach with her dog.", "en", "in_language"),
        ("En la foto se ve a una mujer que pasea con su perro por la playa.", "it", "in_other_language"),
        ("En la foto se ve a una mujer que pasea con su perro por la playa.", "es", "in_language"),
        ("Una spiaggia.", "it", "language_undecided"),
        ("Monte Bianco, Courmayeur, Valle d'Aosta, 4.810 m", "it", "language_undecided"),
        ("", "it", "language_undecided"),
        # A language that cannot be told from others.
        ("Te foto si viôt une femine che e cjamine cul so cjan su pe splaze.", "fur", "language_undecided"),
    ],
)
def test_the_language_of_a_long_answer(answer, code, metric):
    scores = score_language(answer, code)
    assert [name for name, score in scores.items() if score] == [metric] and sum(scores.values()) == 1


def test_of_several_references_the_one_most_like_the_answer_counts():
    references = ["Un gatto nero su un tetto.", "Il cane corre sul prato."]
    alone = [score_long_answer("Il cane corre.", each)["chrf"] for each in references]
    assert 0 < alone[0] < alone[1] < 1
    for given in (references, references[::-1], references * 2):
        assert score_long_answer("Il cane corre.", *given)["chrf"] == alone[1]
    assert score_long_answer(" IL CANE corre sul prato.\n", *references)["chrf"] == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [("", 0), (" \n ", 0), ("... — !", 0), ("Due gatti", 2), ("L'albero è  alto,\n no ?", 4), ("3 gatti", 2)],
)
def test_words_are_what_spaces_divide_without_lone_punctuation(answer, words):
    assert count_words(answer) == words
