"""Splitting a text into lines and joining them again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.data.translation.lines import TextPiece, join_lines, split_lines, words_of

# Plain text of any kind, and text of what the splitter looks for.
TEXTS = st.text() | st.lists(
    st.sampled_from(
        [
            "\n",
            "\n\n",
            "\r\n",
            "\u2028",
            " ",
            "\t",
            "- ",
            "1. ",
            "a) ",
            "A. ",
            "(b) ",
            "II. ",
            "• ",
            "word",
            "Two words.",
            "12",
        ]
    )
).map("".join)


@given(TEXTS)
def test_the_pieces_joined_are_the_text(text):
    pieces = split_lines(text)
    assert "".join(piece.text for piece in pieces) == text
    assert join_lines(pieces, words_of(pieces)) == text


@given(TEXTS)
def test_words_have_no_newline_and_no_outer_space(text):
    for words in words_of(split_lines(text)):
        assert len(words.splitlines()) == 1 and words == words.strip()
        assert any(character.isalpha() for character in words)


@given(TEXTS)
def test_all_letters_except_list_markers_are_in_words(text):
    left = [piece.text for piece in split_lines(text) if not piece.words]
    markers = [word for piece in left for word in piece.split() if any(map(str.isalpha, word))]
    assert all(re.fullmatch(r"\(?([A-Za-z]|[ivx]+|[IVX]+)[.)]", marker) for marker in markers)


@given(TEXTS)
def test_translations_replace_the_words_and_nothing_else_changes(text):
    pieces = split_lines(text)
    there = join_lines(pieces, ["X" for _ in words_of(pieces)])
    assert there.count("X") >= len(words_of(pieces))
    assert [piece.text for piece in split_lines(there) if not piece.words] == [
        piece.text for piece in pieces if not piece.words
    ]


def test_list_markers_indentation_and_rules_are_kept():
    text = "Ecco:\n\n1. Red car\n  - two  \n\ta) three\n---\n* four\r\n2023\n"
    assert words_of(split_lines(text)) == ["Ecco:", "Red car", "two", "three", "four"]


@pytest.mark.parametrize("marker", ["a.", "A.", "(a)", "(B)", "II.", "iv)", "(ii)", "(1)", "12.", "- a."])
def test_markers_of_every_kind_of_list_are_not_translated(marker):
    text = f"Options:\n{marker} a red car\n  {marker} Two dogs"
    pieces = split_lines(text)
    assert words_of(pieces) == ["Options:", "a red car", "Two dogs"]
    assert join_lines(pieces, ["Opzioni:", "un'auto rossa", "Due cani"]) == (
        f"Opzioni:\n{marker} un'auto rossa\n  {marker} Due cani"
    )


@pytest.mark.parametrize(
    "text", ["A red car", "I am here", "(a red car) stands", "U.S. flags", "OK. Yes", "a.m."]
)
def test_words_that_look_like_markers_are_translated(text):
    assert words_of(split_lines(text)) == [text]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Use this:\n```python\nfor i in range(3):\n    print(1)\n```\nThe end.", ["Use this:", "The end."]),
        ("It is:\n\\[ x^2\n + y^2 \\]\nSo.", ["It is:", "So."]),
        ("It is:\n$$\na = b\n$$\nSo.", ["It is:", "So."]),
        ("Say\n\\begin{align}\na &= b\n\\end{align}\nSo.", ["Say", "So."]),
        ("for i in range(3):\n  x = foo(i)\nimport os\nDone.", ["Done."]),
        ("| Name | Age |\n|---|---|\n| Red car | 3 |", ["Name", "Age", "Red car"]),
        ("For all of them (the dogs):\nreturn (if you can) soon", None),
        ("```\nnot closed", []),
    ],
)
def test_code_formulas_and_bars_are_not_translated(text, words):
    assert words_of(split_lines(text)) == (text.split("\n") if words is None else words)


@pytest.mark.parametrize("translated", [[], ["a", "b"]])
def test_a_wrong_number_of_translations_is_an_error(translated):
    with pytest.raises(ValueError, match="for 1 pieces"):
        join_lines([TextPiece("one", True)], translated)
