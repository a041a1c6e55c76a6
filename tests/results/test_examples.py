"""Example cards: which documents get one, how answers are marked, and which filters keep a card."""

from __future__ import annotations

import base64
import io
import json
import shutil

import pytest
from PIL import Image

from ndino.results.examples import ANSWER_LENGTH, IMAGE_SIDE, clip, image_uri, read_examples
from ndino.results.logs import ResultsError, read_run
from ndino.results.report import write_report
from tests.results.synthetic import write_rows, write_task


@pytest.fixture
def run_with_images(small_run):
    for doc_id in (0, 5, 13):  # only IT is right; only PT+IT is right; both are
        path = small_run / "eval" / "images" / "gqa-it" / f"{doc_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "red").save(path)
    return small_run


def test_a_card_holds_the_question_and_every_models_marked_answer(run_with_images):
    (card, *_) = read_examples(read_run(run_with_images), ["gqa-it", "mtvqa-it"]).tasks["gqa-it"]
    assert (card.question, card.target) == ("Domanda 0?", "rosso")
    marks = [(answer.model, answer.text, answer.mark) for answer in card.answers]
    assert marks == [("IT", "rosso", "right"), ("PT+IT", "blu", "wrong")]


def test_tasks_without_images_have_no_cards(run_with_images):
    assert list(read_examples(read_run(run_with_images), ["gqa-it", "mtvqa-it"]).tasks) == ["gqa-it"]


def test_filters_keep_the_cards_that_their_label_says(run_with_images):
    examples = read_examples(read_run(run_with_images), ["gqa-it"])
    kept = {
        choice.label: [n for n, card in enumerate(examples.tasks["gqa-it"]) if index in card.groups]
        for index, choice in enumerate(examples.filters)
    }
    assert kept == {
        "any": [0, 1, 2],
        "all are right": [2],
        "nobody is right": [],
        "they differ": [0, 1],
        "IT is right": [0, 2],
        "PT+IT is right": [1, 2],
    }
    assert [choice.label for choice in examples.filters if choice.empty == (0,)] == ["nobody is right"]


def test_an_answer_that_is_only_known_to_be_in_its_language_is_neither_right_nor_wrong(tmp_path):
    for model, right in (("A", [1.0, 1.0]), ("B", [0.0, 1.0])):
        folder = tmp_path / "eval" / model
        write_task(folder, "m-wildvision-it", right, metric="in_language", targets=["", ""])
    path = tmp_path / "eval" / "images" / "m-wildvision-it" / "0.png"
    path.parent.mkdir(parents=True)
    Image.new("L", (4, 4)).save(path)
    examples = read_examples(read_run(tmp_path), ["m-wildvision-it"])
    (card,) = examples.tasks["m-wildvision-it"]
    assert [answer.mark for answer in card.answers] == ["not scored", "not scored"]
    assert [examples.filters[index].label for index in card.groups] == ["any"]
    write_report(tmp_path)
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count('aria-label="not scored">·<') == 2
    assert "<span>reference</span>" not in page


def test_one_model_needs_no_filters_that_compare(tmp_path):
    write_task(tmp_path / "eval" / "PT", "gqa-it", [1, 0], [0, 0])
    path = tmp_path / "eval" / "images" / "gqa-it" / "0.png"
    path.parent.mkdir(parents=True)
    Image.new("L", (4, 4)).save(path)
    examples = read_examples(read_run(tmp_path), ["gqa-it"])
    assert [choice.label for choice in examples.filters] == ["any", "PT is right"]


def test_a_fractional_score_is_partly_right_and_targets_are_counted(small_run):
    for log in small_run.glob("eval/*/ok-vqa-it*.jsonl"):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        rows[3]["target"] = ["due", "2", "due"]
        write_rows(log, rows)
    path = small_run / "eval" / "images" / "ok-vqa-it" / "3.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(path)
    (card,) = read_examples(read_run(small_run), ["ok-vqa-it"]).tasks["ok-vqa-it"]
    assert card.target == "due (×2) / 2"
    answers = [(answer.mark, answer.score) for answer in card.answers]
    assert answers == [("partly right", "30.0"), ("partly right", "60.0")]


def test_a_long_text_is_cut_and_ends_with_its_length():
    assert clip("a" * ANSWER_LENGTH) == "a" * ANSWER_LENGTH
    assert clip("a" * 2000, 3) == "aaa … (2,000 characters)"


def test_an_image_is_embedded_as_a_small_copy(tmp_path):
    Image.new("RGBA", (1000, 500), "blue").save(tmp_path / "0.png")
    head, _, data = image_uri(tmp_path / "0.png").partition(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (IMAGE_SIDE, IMAGE_SIDE // 2)


def test_a_broken_image_is_rejected_with_its_name(run_with_images):
    path = run_with_images / "eval" / "images" / "gqa-it" / "5.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ResultsError, match=r"5\.png: not readable as an image"):
        read_examples(read_run(run_with_images), ["gqa-it"])
    shutil.rmtree(path.parent)
    assert read_examples(read_run(run_with_images), ["gqa-it"]).tasks == {}
