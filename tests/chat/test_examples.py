"""Which questions of which benchmarks the page offers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ndino.chat.examples import MOST, find_examples
from tests.chat.test_session import png

COLOURS = ("red", "green", "blue", "black", "white", "yellow", "orange", "purple")


def write_set(folder: Path, colours: tuple[str, ...], **more) -> None:
    """A benchmark with a question about an image of each colour."""
    folder.mkdir(parents=True)
    for colour in colours:
        (folder / f"{colour}.png").write_bytes(png(colour))
    rows = (
        {"image": f"{colour}.png", "question": f"{colour}?", "answer": "sì", **more} for colour in colours
    )
    (folder / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def asked(data: Path) -> list[str]:
    return [example.question for example in find_examples(data, required=True)]


def test_each_set_is_asked_once_before_one_is_asked_twice(tmp_path):
    for place in range(4):
        write_set(tmp_path / "owner" / f"SET{place}", COLOURS[2 * place : 2 * place + 2])
    assert asked(tmp_path) == [f"{colour}?" for colour in (*COLOURS[::2], *COLOURS[1::2])]
    write_set(tmp_path / "owner" / "SET4", ("brown",))
    assert len(asked(tmp_path)) == MOST and "brown?" in asked(tmp_path)


@pytest.mark.parametrize(
    "options", [{"choice_a": "x"}, {"A": "x", "B": "y"}, {"choices": ["x", "y"]}, {"options": ["x", "y"]}]
)
def test_a_question_that_is_none_without_its_options_is_not_offered(tmp_path, options):
    write_set(tmp_path / "owner" / "CHOICE", ("red",), **options)
    write_set(tmp_path / "owner" / "OPEN", ("blue",))
    assert asked(tmp_path) == ["blue?"]
