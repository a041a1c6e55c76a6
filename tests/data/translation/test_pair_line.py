"""The paper's three checks: what passes comes back exact, and each fault is caught by its own check."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ndino.data.translation.pair_line import (
    Expected,
    Parts,
    as_written,
    exact_answer,
    expected_of,
    read_line,
    to_line,
)
from ndino.data.translation.rejection import ANSWER, OPTIONS, QUESTION, SAME, pair_rejections
from ndino.languages.language import language
from tests.data.translation.translators.marked import remark

ENGLISH, ITALIAN = language("en"), language("it")
WORDS = st.sampled_from(
    [
        "the",
        "red",
        "dog",
        "sits",
        "near",
        "a",
        "bus",
        "no",
        "yes",
        "12",
        "(maybe)",
        "Rome:",
        "it's",
        "3.5",
        "A.",
        "B)",
        "x=2;",
        "why?",
    ]
)
PHRASE = st.lists(WORDS, min_size=1, max_size=6).map(" ".join).filter(lambda text: text.strip(" .;:)"))
QUESTIONS = PHRASE.map(lambda text: f"What {text}?")


@st.composite
def chosen(draw: st.DrawFn) -> tuple[Parts, int]:
    """A closed question: two to six different options, one of them right."""
    options = draw(st.lists(PHRASE, min_size=2, max_size=6, unique_by=lambda text: re.sub(r"\W", "", text)))
    explanation = draw(st.just("") | PHRASE.map(lambda text: f"Because {text}"))
    parts = Parts(draw(QUESTIONS), tuple(options), "", explanation)
    return parts, draw(st.integers(0, len(options) - 1))


@st.composite
def answered(draw: st.DrawFn) -> Parts:
    """An open question with a text, yes or no, or a number for an answer."""
    return Parts(draw(QUESTIONS), (), draw(st.sampled_from(["Yes.", "no", "3.", "12", "2,500"]) | PHRASE))


def fails(line: str, expected: Expected) -> tuple[str, ...]:
    return pair_rejections(read_line(line, expected, ITALIAN), expected, ITALIAN)


def passed(line: str, expected: Expected) -> Parts:
    reading = read_line(line, expected, ITALIAN)
    assert pair_rejections(reading, expected, ITALIAN) == ()
    return reading.parts


def in_italian(parts: Parts, choice: int | None) -> tuple[str, Expected]:
    exactly = None if choice is not None else exact_answer(parts.answer, ENGLISH)
    expected = expected_of(parts, choice, exactly)
    line = to_line(parts, expected, ENGLISH)
    assert "\n" not in line
    return remark(line), expected


@given(chosen())
def test_options_and_answer_are_read_back_exactly(given_pair):
    parts, choice = given_pair
    line, expected = in_italian(parts, choice)
    found = passed(line, expected)
    assert found.question == parts.question
    assert found.options == tuple(option.rstrip(".; ") for option in parts.options)
    assert found.explanation == parts.explanation


@given(answered())
def test_open_answers_are_read_back_exactly(parts):
    line, expected = in_italian(parts, None)
    found = passed(line, expected)
    assert found.question == parts.question
    if expected.exactly is None:
        assert found.answer == parts.answer


@given(chosen(), st.data())
def test_a_lost_question_marker_fails_the_first_check_alone(given_pair, data):
    line, expected = in_italian(*given_pair)
    word = data.draw(st.sampled_from(["", "Allora", "E la questione è questa,"]))
    assert fails(line.replace("Domanda:", word, 1), expected) == (QUESTION,)


@given(chosen())
def test_a_question_after_the_options_fails_the_first_check(given_pair):
    line, expected = in_italian(*given_pair)
    question, rest = line.split(" Opzioni:", 1)
    assert QUESTION in fails(f"Opzioni:{rest} {question}", expected)


@given(chosen(), st.data())
def test_an_option_dropped_added_or_merged_fails_the_second_check_alone(given_pair, data):
    parts, choice = given_pair
    line, expected = in_italian(parts, choice)
    count = len(parts.options)
    number = data.draw(st.integers(1, count))
    label = expected.label.format(number)
    fault = data.draw(st.sampled_from(["merged", "added", "emptied", "swapped", "announcement lost"]))
    if fault == "merged":  # the label is gone, the words are still there
        line = line.replace(f"{label} ", "", 1)
    elif fault == "added":
        line = line.replace(" Risposta:", f" {expected.label.format(count + 1)} altro. Risposta:", 1)
    elif fault == "emptied":
        head, tail = line.split(f"{label} ", 1)
        following = expected.label.format(number + 1) if number < count else "Risposta:"
        line = f"{head}{label} ; {following}{tail.split(following, 1)[1]}"
    elif fault == "swapped":
        other = expected.label.format(number % count + 1)
        head, answer = line.rsplit(" Risposta:", 1)
        head = head.replace(label, "\0").replace(other, label).replace("\0", other)
        line = f"{head} Risposta:{answer}"
    else:
        line = line.replace("Opzioni:", "Eccole", 1)
    assert fails(line, expected) == (OPTIONS,)


@given(chosen(), st.data())
def test_an_answer_moved_lost_changed_or_not_last_fails_the_third_check_alone(given_pair, data):
    parts, choice = given_pair
    parts = Parts(parts.question, parts.options)
    line, expected = in_italian(parts, choice)
    head, tail = line.rsplit(" Risposta: ", 1)
    other = expected.label.format((choice + 1) % len(parts.options) + 1)
    question, options = head.split(" Opzioni:", 1)
    broken = {
        "moved": f"{question} Risposta: {tail} Opzioni:{options}",
        "marker lost": f"{head} {tail}",
        "lost": head,
        "empty": f"{head} Risposta: ",
        "another option": f"{head} Risposta: {other}.",
        "twice": f"{line} Risposta: {tail}",
        "continues": f"{line} E poi ancora.",
        "another question": f"{line} Domanda: e poi?",
    }
    assert fails(broken[data.draw(st.sampled_from(sorted(broken)))], expected) == (ANSWER,)


@given(answered(), st.data())
def test_a_lost_or_wrong_open_answer_fails_the_third_check_alone(parts, data):
    line, expected = in_italian(parts, None)
    head = line.rsplit(" Risposta: ", 1)[0]
    wrong = {"yes": "no", "no": "sì"}.get(expected.exactly or "", "99")
    broken = [head, f"{head} Risposta:", f"{head} Risposta: . "]
    broken += [f"{line} Domanda: e poi?", f"{line} Opzioni: una, due."]
    if expected.exactly is not None:
        broken += [f"{head} Risposta: {wrong}", f"{head} Risposta: {expected.exactly} cani"]
    failed = fails(data.draw(st.sampled_from(broken)), expected)
    assert failed in ((ANSWER,), (OPTIONS, ANSWER))  # options where there were none fail the second too


@given(answered())
def test_invented_options_fail_the_second_check_alone(parts):
    line, expected = in_italian(parts, None)
    one, two = (expected.label.format(number) for number in (1, 2))
    assert fails(line.replace(" Risposta:", f" {one} a; {two} b. Risposta:", 1), expected) == (OPTIONS,)
    assert fails(line.replace(" Risposta:", " Opzioni: a, b. Risposta:", 1), expected) == (OPTIONS,)


def test_options_that_became_the_same_fail_the_fourth_check():
    parts = Parts("What is it?", ("a couch", "a sofa", "a bed"))
    line, expected = in_italian(parts, 1)
    same = line.replace("a couch", "un divano").replace("a sofa", "Un divano")
    assert fails(same, expected) == (SAME,)
    # Where they were the same before, they may be so after.
    twins = Parts("What is it?", ("a sofa", "a sofa", "a bed"))
    line, expected = in_italian(twins, 1)
    assert passed(line, expected).options == twins.options


@pytest.mark.parametrize(
    ("line", "exactly"),
    [
        ("Problema: È lì una macchina? Risposta: nessuno", "no"),
        ('domanda: È lì? risposta: "Sì".', "yes"),
        ("Domanda : Quanti sono? Risposta : 2.500.", "2,500"),
        ("¿Domanda: Quanti sono? Risposta: 3", "3"),
        ("Domanda: Quanti sono؟ Risposta: ٢٬٥٠٠؛", "2,500"),
    ],
)
def test_other_translations_of_markers_and_answers_are_accepted(line, exactly):
    assert passed(line, Expected(exactly=exactly)).question


@pytest.mark.parametrize(
    ("line", "exactly"),
    [
        ("Domanda: È lì? Risposta: sì", "no"),
        ("Domanda: È lì? Risposta: sì e no", "yes"),
        ("Domanda: Quanti? Risposta: 13", "3"),
        ("Domanda: Quale? Risposta: Un", "A"),
    ],
)
def test_a_different_answer_is_rejected(line, exactly):
    assert fails(line, Expected(exactly=exactly)) == (ANSWER,)


def test_a_text_with_numbers_in_brackets_gets_other_labels():
    parts = Parts("What is f(2)?", ("(1)", "f(3)"))
    line, expected = in_italian(parts, 0)
    assert line == "Domanda: What is f(2)? Opzioni: [1] (1); [2] f(3). Risposta: [1]."
    assert passed(line, expected).options == parts.options


def test_a_question_without_a_final_mark_gets_a_full_stop():
    line, _ = in_italian(Parts("Find x", ("1", "2")), 1)
    assert line == "Domanda: Find x. Opzioni: (1) 1; (2) 2. Risposta: (2)."


@pytest.mark.parametrize(
    ("answer", "exact"),
    [
        ("Yes.", "yes"),
        ("no", "no"),
        ("3.", "3"),
        ("10:15", "10:15"),
        ("C", "C"),
        ("Three.", None),
        ("2x", None),
    ],
)
def test_answers_that_must_not_change(answer, exact):
    assert exact_answer(answer, ENGLISH) == exact


@pytest.mark.parametrize(
    ("text", "source", "written"),
    [
        ("dov'è ?", "Where is it?", "Dov'è ?"),
        ("trova x.", "Find x", "Trova x"),
        ("un  treno", "A train.", "Un treno."),
        ("dove", "where?", "dove?"),
        ("e poi...", "and then", "e poi..."),
    ],
)
def test_a_translation_begins_and_ends_as_its_source(text, source, written):
    assert as_written(text, source) == written


@given(st.text(max_size=200))
def test_no_text_crashes_the_checks(text):
    assume("\n" not in text)
    for expected in (
        Expected(),
        Expected(3, choice=1),
        Expected(exactly="no"),
        Expected(2, "[{}]", 0, None, True),
    ):
        reading = read_line(text, expected, ITALIAN)
        failed = pair_rejections(reading, expected, ITALIAN)
        if not failed:
            assert reading.parts.question and len(reading.parts.options) == expected.options
