"""Text that a translation must not change."""

from __future__ import annotations

import pytest

from ndino.data.translation.placeholders import (
    PLACEHOLDER,
    has_words,
    label_spans,
    labels_pattern,
    undo_entities,
)
from ndino.languages.language import language


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Look at <image> and </b>.", ["<image>", "</b>"]),
        ("{name} is %s years, {} %d%", ["{name}", "%s", "{}", "%d"]),
        ("See https://example.org/a?b=1. Then go.", ["https://example.org/a?b=1"]),
        ("Write to (me.too@example.org)!", ["me.too@example.org"]),
        ("3 < 5 > 2, a { b }, 5 % of it, @home", []),
        ("<two words>", []),
        (r"The area $A = \frac{1}{2} b h$ and $r$.", [r"$A = \frac{1}{2} b h$", "$r$"]),
        ("It costs $5 and $10, or $5-$10 (US$).", []),
        (r"\[ x^2 + y^2 = r^2 \] and \(a\)", [r"\[ x^2 + y^2 = r^2 \]", r"\(a\)"]),
        (
            '<a href="https://e.org/a?b=1">A link</a><br />',
            ['<a href="https://e.org/a?b=1">', "</a>", "<br />"],
        ),
        ("y = 2x + 1 but 2 + 2 = 4, 3 < 5", ["y = 2x + 1"]),
        ("y^2 or x_1 or image_2", ["y^2", "x_1", "image_2"]),
        ("Call range(3) or `for i in x` with --all, dog(s)", ["range(3)", "`for i in x`", "--all"]),
        (r"C:\new\table and \d+\s*.", [r"C:\new\table", r"\d+\s*"]),
        ("Hello {{ order_id }}", ["{{ order_id }}"]),
        ("See www.example.org/a, now", ["www.example.org/a"]),
        ("Points B and C, (A), is it A? A dog. I am. T-shirt, U.S. and/or", ["B", "C", "A", "A"]),
        ("If AB = 5 and ∠ABC is right", ["AB", "∠ABC"]),
        ("Options: (1) A; (2) E. Answer: (1).", ["A", "E"]),
    ],
)
def test_placeholders(text: str, found: list[str]) -> None:
    assert PLACEHOLDER.findall(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A", False), ("B.", False), ("$A = b$", False), ("y^2 + x", False), ("https://example.org", False),
        ("I am", True), ("no", True), ("是", True), ("A dog", True), ("`x` is", True), ("", False),
        ("¹¼", False), ("m²", True),
    ],
)  # fmt: skip
def test_what_has_words_to_translate(text: str, words: bool) -> None:
    assert has_words(text) is words


@pytest.mark.parametrize(
    ("text", "undone"),
    [
        ("Tom &amp; Jerry &lt;3", "Tom & Jerry <3"),
        ("&quot;Ciao&quot; &#39;a&#x27;", "\"Ciao\" 'a'"),
        ("`a &amp; b` &amp; c", "`a &amp; b` & c"),
        ("```\n&lt;b&gt;\n```\n&lt;", "```\n&lt;b&gt;\n```\n<"),
        ("a&#10;b &unknown; R&D; AT&T", "a&#10;b &unknown; R&D; AT&T"),
    ],
)
def test_entities_are_undone_except_in_code(text: str, undone: str) -> None:
    assert undo_entities(text) == undone


def test_it_can_be_put_into_another_expression() -> None:
    assert PLACEHOLDER.groups == 0


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("In triangle ABC, angle A is 60 degrees and side BC is 5.", ["ABC", "A", "BC"]),
        ("If the ABCD shape is a rectangle, how long is the AD side?", ["ABCD", "AD"]),
        ("Points A, B and E lie on line AE.", ["A", "B", "E", "AE"]),
        ("AB and CD are sides of it, A' no vertex, vertex A' is.", ["A'"]),
        ("A triangle has three sides. At that point I was right. A Square.", []),
        ("THE SIDE OF THE POINT ABOVE", []),
    ],
)
def test_labels_of_geometry_stand_beside_what_they_label(text: str, labels: list[str]) -> None:
    words = language("en").words
    pattern = labels_pattern(words["labelled"], words["joining"])
    assert [text[start:end] for start, end in label_spans(text, pattern)] == labels
    assert not [*label_spans(text, labels_pattern((), ()))]
