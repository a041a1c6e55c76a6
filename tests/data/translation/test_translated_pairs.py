"""Pairs through a translator that changes the markers only: the rest must come back as it was."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ndino.data.translation.pairs import Pair, read_pair
from ndino.data.translation.rejection import ANSWER, MARKERS_INSIDE, QUESTION
from ndino.data.translation.translated_pairs import RejectedPair, translate_pairs
from ndino.languages.language import language
from tests.data.samples.cauldron_samples import pairs
from tests.data.translation.translators.marked import marked_translation, remark, remark_only

ENGLISH, ITALIAN = language("en"), language("it")


def translated(folder, *given_pairs, change=remark):
    with marked_translation(folder, change) as translation:
        return translate_pairs(given_pairs, translation, ENGLISH, ITALIAN)


def one(folder, user, assistant, **options):
    (result,) = translated(folder, read_pair(user, assistant), **options)
    return result


LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)
TEXTS = st.lists(LINES, max_size=4).map("\n".join).filter(lambda text: any(map(str.isalpha, text)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
@example([("A", "0\nNO")])
@example([("A", "A\nAnswer:")])
@example([("A", "0\nyes")])
def test_a_pair_that_passes_is_unchanged(tmp_path_factory, texts):
    given_pairs = [Pair(question.strip(), answer.strip()) for question, answer in texts]
    results = translated(tmp_path_factory.mktemp("m"), *given_pairs, change=remark_only)
    assert len(results) == len(given_pairs)
    for pair, result in zip(given_pairs, results, strict=True):
        if isinstance(result, Pair):
            # White space within a line may be made one, a final stop may come or go. Markers outside of the
            # pair's line are text, which this translator translates.
            for there, here in ((result.question, pair.question), (result.answer, pair.answer)):
                if here.casefold().removesuffix(".") not in ("yes", "no"):
                    assert there.count("\n") == here.count("\n")
                    assert _letters(there) == _letters("\n".join(map(remark_only, here.split("\n"))))


def _letters(text):
    return [character for character in text.casefold() if character.isalnum()]


@pytest.mark.parametrize("task", sorted(pairs()))
def test_samples_of_every_task_pass(tmp_path, task):
    given_pairs = [read_pair(*texts) for texts in pairs()[task]]
    for pair, result in zip(given_pairs, translated(tmp_path, *given_pairs), strict=True):
        assert isinstance(result, Pair), result
        assert (result.question, result.options) == (pair.question, pair.options)
        assert (result.choice, result.explanation) == (pair.choice, pair.explanation)


def test_yes_and_no_are_the_language_s_own(tmp_path):
    assert one(tmp_path, "Is this a cat?\nOne word.", "Yes.") == Pair("Is this a cat?\nOne word.", "Sì.")
    assert one(tmp_path, "Is this a cat?", "no").answer == "no"


def asked(folder, *texts):
    """What a translator is asked for the pairs of these texts."""
    with marked_translation(folder) as translation:
        translate_pairs([read_pair(*pair) for pair in texts], translation, ENGLISH, ITALIAN)
        return sorted(translation._translator.asked)


def test_a_pair_without_words_needs_no_translator(tmp_path):
    assert asked(tmp_path, ("2 + 2 = ?", "4")) == []


def test_the_asking_line_goes_with_the_answer_and_an_instruction_is_translated_once(tmp_path):
    assert asked(
        tmp_path,
        ("Where?\nOne word.", "Down."),
        ("One word.\nWho is it?", "Me."),
        ("Tell me what you see.", "A cat."),
        ("Which one is next?", "C"),
    ) == [
        "One word.",
        "Question: Tell me what you see. Answer: A cat.",
        "Question: Where? Answer: Down.",
        "Question: Which one is next? Answer: C",
        "Question: Who is it? Answer: Me.",
    ]


@pytest.mark.parametrize(
    "text", ["One word.\n\n Is it so?\nReally.\n", "Is it?\n\tOne word.", "Name it.\nOne\nWord."]
)
def test_every_line_of_a_question_is_put_back_in_its_place(tmp_path, text):
    result = one(tmp_path, text, "A cat.", change=lambda line: remark(line).upper())
    assert result.question == text.strip().upper()


def test_a_no_before_a_full_stop_is_not_read_as_number(tmp_path):
    assert asked(
        tmp_path, ("Is it? Say yes or no.", "No."), ("Is it?\nYes or no. Be quick.", "No. 5 is.")
    ) == [
        "Question: Is it? Answer: No. 5 is.",
        "Question: Is it? Say yes or no . Answer: no",
        "Yes or no . Be quick.",
    ]
    # It is a matter between us and the translator.
    assert one(tmp_path, "Yes or no. Is it? Yes or no.", "No.").question == "Yes or no. Is it? Yes or no."


def test_lines_around_the_pair_are_translated_and_put_back(tmp_path):
    question, answer = "A hint.\n\n  What is it?", "First.\n\n- Second.\n- Third."
    result = one(tmp_path, question, answer, change=lambda line: remark(line).upper())
    assert result.question == "A HINT.\n\n  WHAT IS IT?"
    assert result.answer == "FIRST.\n\n- SECOND.\n- THIRD."


@pytest.mark.parametrize("answer", ["10:15", "$ 25", "3/4", "-5"])
def test_answers_without_words_are_unchanged(tmp_path, answer):
    assert one(tmp_path, "What is it?", answer).answer == answer


def test_a_question_without_words_is_unchanged(tmp_path):
    assert one(tmp_path, "2 + 2 = ?", "four") == Pair("2 + 2 = ?", "four")


def test_a_text_with_its_own_marker_is_rejected_before_translation(tmp_path):
    for user, assistant in (("What is the Answer: to it?", "42"), ("Who?", "Me. Question: who?")):
        result = one(tmp_path, user, assistant)
        assert isinstance(result, RejectedPair)
        assert (result.reason, result.translated) == (MARKERS_INSIDE, None)


def test_a_rejection_names_the_first_failure_and_shows_both_lines(tmp_path):
    result = one(tmp_path, "Where?", "Down.", change=lambda line: "Giù.")
    assert isinstance(result, RejectedPair)
    assert (result.reason, result.failed) == (QUESTION, (QUESTION, ANSWER))
    assert (result.line, result.translated) == ("Question: Where? Answer: Down.", "Giù.")
