"""Parsing The Cauldron's pairs, and writing them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.data.translation.pairs import Pair, PairError, asking_line, read_pair, write_pair
from ndino.evaluation.tasks.framework import instructions
from ndino.languages.language import language
from tests.data.samples.cauldron_samples import pairs

ENGLISH = language("en")
LETTERED = "Question: What is it?\nChoices:\nA. A train.\nB. a cab\nOne letter will do."


def written(pair: Pair, code: str = "en") -> tuple[str, str]:
    return write_pair(pair, language(code))


def test_lettered_options():
    pair = read_pair(LETTERED, "Answer: B")
    assert pair == Pair("What is it?", "", ("A train.", "a cab"), 1)
    # As the benchmarks ask: no announcements, the language's own instruction, the bare letter.
    assert written(pair) == (f"What is it?\nA. A train.\nB. a cab{ENGLISH.letter_answer}", "B")
    assert written(pair, "it")[0].endswith(f"\nB. a cab{instructions.letter_answer('it')}")


@pytest.mark.parametrize("answer", ["B", "B.", "(B)", "Answer: B.", "Answer: (B)"])
def test_ways_to_give_a_letter(answer):
    assert read_pair(LETTERED, answer).choice == 1


@pytest.mark.parametrize("letter", ["{}. ", "{}) ", "{}: ", "Choice {}: "])
def test_ways_to_letter_options(letter):
    user = f"Question: Which?\nChoices:\n{letter.format('A')}one\n{letter.format('B')}two\nA letter."
    assert read_pair(user, "Answer: A").options == ("one", "two")


def test_wrapped_options_and_text_before_the_question():
    user = "A hint.\nQuestion: Which?\nChoices:\nA. one\nmore\nB. two\nand three\nA letter, please."
    pair = read_pair(user, "B")
    assert (pair.question, pair.options) == ("A hint.\nWhich?", ("one more", "two and three"))


def test_lettered_options_without_an_instruction():
    assert read_pair("Which?\nOptions:\nA. one\nB. two", "B").options == ("one", "two")


def test_listed_options():
    user = "Who will come?\nOne of these.\nOptions: Baker, nurse, teacher, farmer."
    pair = read_pair(user, "Farmer.")
    assert pair == Pair(
        "Who will come?\nOne of these.", "", ("baker", "nurse", "teacher", "farmer"), 3, listed=True
    )
    assert written(pair) == (user, "Farmer.")
    # Capitals that no sentence makes are the options' own.
    assert read_pair("Who?\nOptions: Mary, Ann.", "Ann.").options == ("Mary", "Ann")


@pytest.mark.parametrize(
    "how",
    [
        "{}\nTake one and say why: 'Answer: it\nRationale: why.'",
        "In this form: `Answer: it`\nand `Rationale: why.`\n{}",
        "{}\nRationale: is what we call the reason.",
    ],
)
def test_lines_on_the_answer_format_become_the_language_s_own(how):
    user = f"{how.format('Where is he?')}\nOptions: Office, train."
    pair = read_pair(user, "Answer: office.\nRationale: There is a desk.")
    assert (pair.question, pair.choice, pair.explanation) == ("Where is he?", 0, "There is a desk.")
    said, answer = written(pair, "it")
    asked, own, options = said.split("\n")
    assert (asked, options) == ("Where is he?", "Opzioni: Office, train.")
    assert "Risposta:" in own and "Spiegazione:" in own
    assert answer == "Risposta: office.\nSpiegazione: There is a desk."


def test_other_lines_around_an_explained_question_stay():
    user = "Look closely.\nWhere is he?\nAs 'Answer: it'\nOptions: Office, train."
    pair = read_pair(user, "Answer: train.\nRationale: It moves.")
    assert pair.question == "Look closely.\nWhere is he?"
    # Without an explanation the line says something else: it is not touched.
    assert read_pair(user, "Train.").question == "Look closely.\nWhere is he?\nAs 'Answer: it'"


def test_an_instruction_alone_is_the_question():
    assert read_pair(" Tell me what you see. ", "A cat.") == Pair("Tell me what you see.", "A cat.")


@pytest.mark.parametrize(
    ("lines", "asks"),
    [
        (["One word.", "Is it?", "Really?"], 1),
        (["Is it?", "One word."], 0),
        (["One word.", "Is “this (so?)”", "Go."], 1),
        (["Name it.", "One word."], 0),
        ([], 0),
    ],
)
def test_the_first_line_with_a_question_mark_asks_else_the_first(lines, asks):
    assert asking_line(lines) == asks


@pytest.mark.parametrize(
    ("user", "assistant", "reason"),
    [
        (None, "Yes.", "no question"),
        ("Is it?", None, "no answer"),
        ("Is it?", " . ", "no answer"),
        (" ? ", "Yes.", "no question"),
        (3, "Yes.", "no question"),
        ("<image>\nIs it?", "Yes.", "<image> in the question"),
        ("Is it?", "See <image>.", "<image> in the answer"),
        (LETTERED, "Answer: C", "answer is none of the options"),
        (LETTERED, "A cab", "answer is none of the options"),
        ("Question: Which?\nChoices:\nB. one\nC. two", "B", "options cannot be told apart"),
        ("Question: Which?\nChoices:\nA. one", "A", "options cannot be told apart"),
        ("Question: Which?\nChoices:\nA. one\nB. ", "A", "options cannot be told apart"),
        ("Question: \nChoices:\nA. one\nB. two", "A", "no question"),
        ("Which?\nOptions: One, two, three.", "Red, white.", "answer is none of the options"),
        ("Which?\nOptions: One.", "One.", "options cannot be told apart"),
    ],
)
def test_broken_pairs_have_a_reason(user, assistant, reason):
    with pytest.raises(PairError) as caught:
        read_pair(user, assistant)
    assert caught.value.reason == reason


@given(st.text(), st.text())
def test_no_text_crashes_the_parser(user, assistant):
    try:
        read_pair(user, assistant)
    except PairError as error:
        assert error.reason


@pytest.mark.parametrize("task", ["clevr", "nlvr2", "raven", "spot_the_diff", "vqav2", "geomverse"])
def test_samples_of_a_task_are_written_as_they_were_read(task):
    for user, assistant in pairs()[task]:
        assert written(read_pair(user, assistant)) == (user.strip(), assistant)
