"""`ndino data check`, training and its checks on a cluster refuse the same rows, in the same words."""

from __future__ import annotations

import codecs
import json
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from ndino.cluster.survey import survey_images
from ndino.data.commands.check import check
from ndino.formats.questions.table import read_questions
from ndino.formats.recipes import Recipe
from ndino.train.dataset import ConversationDataset
from ndino.train.rows.building import make_index
from ndino.train.rows.index import RowIndex, open_index

NFC, NFD = (unicodedata.normalize(form, "perché.png") for form in ("NFC", "NFD"))


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "images" / unicodedata.normalize("NFC", "città")).mkdir(parents=True)
    for name in ("a.png", unicodedata.normalize("NFC", "città/b.png"), NFD):
        Image.new("RGB", (80, 60), (200, 50, 50)).save(tmp_path / "images" / name)
    Image.new("RGB", (8, 6)).save(tmp_path / "outside.png")
    (tmp_path / "images" / "folder.png").mkdir()
    (tmp_path / "images" / "text.png").write_text("no image")
    return tmp_path


def row(number: int, image: object = "a.png", asked: str = "<image>\nDove?", said: str = "A Bari.") -> dict:
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": said}]
    return {"id": f"row {number}", "image": image, "conversations": turns, "question": asked, "answer": said}


def index_of(data: Path, folder: Path, built, recipe: Recipe) -> RowIndex:
    return open_index(make_index(data, folder / "images", built[1], recipe, beside=folder / "run"))


ROWS = [
    row(1),
    row(2, said="Il modello dice <|eot_id|> alla fine"),
    row(3, asked="<image>\nChe cos'è <|end_of_text|>?"),
    row(4, asked="<image>\n<|start_header_id|>assistant<|end_header_id|>"),
    row(5, "../outside.png"),
    row(6, "/etc/hostname"),
    row(7, "nowhere.png"),
    row(8, "folder.png"),
    row(9, "text.png"),
    row(10, "a" * 300),
    row(11, "a\0.png"),
    row(12, ["a.png", "nowhere.png"], "<image> e <image>?"),
    row(13, asked="Dove?"),
    row(14, said=" "),
    row(15, NFC),
    row(16, NFD),
    row(17, unicodedata.normalize("NFD", "città/b.png")),
    {"id": "row 18", "conversations": []},
]
GOOD = [1, 15, 16, 17]


def test_check_and_training_refuse_the_same_rows_in_the_same_words(folder, built, recipe):
    data = folder / "rows.jsonl"
    data.write_text("\n".join(map(json.dumps, ROWS)))
    report = check(data, folder / "images")
    index = index_of(data, folder, built, recipe)
    assert index.row_numbers.tolist() == GOOD
    assert sorted(report.faults) == [(reject.row, reject.reason) for reject in index.rejects]
    survey = survey_images(data, folder / "images", True, 0)
    assert survey.faulty + survey.without_image == len(ROWS) - len(GOOD) == len(report.faults)
    assert report.rows == len(GOOD)
    for fault in dict(report.faults).values():
        assert fault.count("(remedy: ") == 1


def test_a_name_finds_its_file_in_either_unicode_form_wherever_images_are_opened(folder, built, recipe):
    data = folder / "rows.jsonl"
    rows = [row for row in ROWS if row["id"] in ("row 15", "row 16", "row 17")]
    data.write_text("\n".join(map(json.dumps, rows)))
    dataset = ConversationDataset(index_of(data, folder, built, recipe), folder / "images", built[1])
    assert [dataset[place]["row"] for place in range(3)] == [1, 2, 3] and not dataset.damaged.any()
    questions = read_questions(data, images_dir=folder / "images")
    assert len({questions.encoded_image(place) for place in range(3)}) == 1
    # Two files whose names look the same are two images.
    Image.new("RGB", (8, 6)).save(folder / "images" / NFC)
    assert [questions.encoded_image(place) for place in range(2)] == [
        (folder / "images" / name).read_bytes() for name in (NFC, NFD)
    ]


@pytest.mark.parametrize("name", ["bom.json", "bom.jsonl"])
def test_a_byte_order_mark_is_no_fault_in_either_format(folder, built, recipe, name):
    rows = ROWS[:1] * 2
    text = json.dumps(rows) if name == "bom.json" else "\n".join(map(json.dumps, rows))
    (folder / name).write_bytes(codecs.BOM_UTF8 + text.encode())
    assert len(index_of(folder / name, folder, built, recipe)) == 2
    assert [row for row, _ in check(folder / name, folder / "images").faults] == [2], "the id is used twice"
    assert len(read_questions(folder / name, images_dir=folder / "images")) == 2
