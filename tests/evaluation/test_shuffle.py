from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ndino.common.images import read_image
from ndino.evaluation.shuffle import shuffle_images, shuffle_map
from ndino.formats.questions.table import Questions, document_image, questions_of


@given(st.lists(st.text(max_size=3), min_size=2).filter(lambda ids: len(set(ids)) > 1), st.integers())
def test_every_image_goes_to_another_question_once(ids, seed):
    given_to = shuffle_map(ids, seed)
    assert set(given_to) == set(given_to.values()) == set(ids)
    assert all(own != other for own, other in given_to.items())
    assert shuffle_map(reversed(ids), seed) == given_to


def test_the_seed_decides():
    ids = range(50)
    assert shuffle_map(ids, 1) != shuffle_map(ids, 2)


@pytest.mark.parametrize("ids", [[], ["a"], ["a", "a"]])
def test_fewer_than_two_images_cannot_be_shuffled(ids):
    with pytest.raises(ValueError, match="two or more"):
        shuffle_map(ids)


def encoded(colour: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (colour, 0, 0)).save(file, "png")
    return file.getvalue()


def set_of(colours: list[int]) -> Questions:
    rows = {
        "id": list(range(len(colours))),
        "image": [{"bytes": encoded(c)} for c in colours],
        "text": colours,
    }
    features = Features({"id": Value("int64"), "image": ImageFeature(), "text": Value("int64")})
    return questions_of(Dataset.from_dict(rows, features=features), "set", Path())


def red(document: dict) -> int:
    return read_image(document_image(document)).getpixel((0, 0))[0]


@given(st.lists(st.integers(0, 5), min_size=2, max_size=12).filter(lambda colours: len(set(colours)) > 1))
def test_questions_keep_their_text_and_lose_their_image(colours):
    right = set_of(colours)
    wrong = shuffle_images(right)
    assert wrong.column_names == right.column_names
    assert wrong.rows == right.rows
    assert wrong["id"] == right["id"]
    shown = [red(row) for row in wrong]
    assert all(own != other for own, other in zip(colours, shown, strict=True))
    # Questions on the same image are given the same wrong one.
    assert len(set(zip(colours, shown, strict=True))) == len(set(colours)) == len(Counter(shown))


def test_the_same_image_in_another_encoding_is_no_other_image():
    def stored(colour: int, kind: str) -> dict[str, bytes]:
        file = io.BytesIO()
        Image.new("RGB", (4, 4), (colour, 0, 0)).save(file, kind)
        return {"bytes": file.getvalue()}

    kinds = ["png", "bmp", "tiff"]
    rows = {"image": [stored(colour, kind) for colour in (10, 90) for kind in kinds]}
    dataset = Dataset.from_dict(rows, features=Features({"image": ImageFeature()}))
    assert list(map(red, shuffle_images(questions_of(dataset, "set", Path())))) == [90] * 3 + [10] * 3


def test_a_selection_of_rows_is_shuffled_within_itself():
    part = set_of([0, 1, 2, 3, 4, 5]).select([5, 1, 3])
    shown = {red(row) for row in shuffle_images(part)}
    assert shown == {1, 3, 5}
