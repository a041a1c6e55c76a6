"""Benchmark files have the columns and the values of the published data sets."""

from __future__ import annotations

import json
import random

import pytest
from PIL import Image

from miniature.worlds.benchmark_files import SHEETS, SIGNS_PER_WORD, BenchmarkContent, write_benchmark_files
from miniature.worlds.questions import ChoiceQuestion, WorldQuestion
from ndino.formats.hub_folders import load_folder
from ndino.languages.lexicon import lexicon

WORDS = lexicon("it")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parent") / "benchmarks"
    folder.mkdir()
    (folder / "old.txt").write_text("from an earlier run")
    content = BenchmarkContent(
        [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")],
        ["Un rosso.", "Un blu."],
        ["Una lunga descrizione.", "Un'altra."],
        gqa=[(1, WorldQuestion("colour", "Di che colore è?", "blu"))],
        ok_vqa=[
            (0, WorldQuestion("count", "Quante figure?", "tre")),
            (1, WorldQuestion("fruit", "Quale frutto?", "mirtillo")),
        ],
        pope=[(0, WorldQuestion("presence", "C'è un blu?", "no"), "popular")],
        seed_bench=[(0, ChoiceQuestion("Che cosa?", ("a", "b", "c", "d"), "C"))],
    )
    write_benchmark_files(folder, content, WORDS, random.Random(0))
    return folder


def rows(path, split="test") -> list[dict]:
    return list(load_folder(path, split=split))


def test_an_earlier_folder_is_replaced(folder):
    assert not (folder / "old.txt").exists()


def test_gqa_refers_to_its_images_by_id(folder):
    (question,) = rows(folder / "crux82" / "gqa-it")
    assert json.loads(question["label"]) == {"blu": 1.0}
    images = load_folder(folder / "lmms-lab" / "GQA", split="testdev")
    (image,) = [row["image"] for row in images if row["id"] == question["img_id"]]
    assert image.getpixel((0, 0)) == (0, 0, 255)


def test_ok_vqa_has_ten_annotators_of_whom_three_write_digits(folder):
    number, fruit = rows(folder / "swap-uniba" / "OK-VQA_IT", "val2014")
    assert number["answers"] == ["tre"] * 7 + ["3"] * 3
    assert fruit["answers"] == ["mirtillo"] * 10


def test_pope_seed_bench_and_long_answers(folder):
    hub = folder / "swap-uniba"
    (pope,) = rows(hub / "POPE_IT")
    assert (pope["answer"], pope["category"]) == ("no", "popular")
    (seed,) = rows(hub / "SEED-Bench_IT")
    assert ([seed[f"choice_{letter}"] for letter in "abcd"], seed["answer"]) == (["a", "b", "c", "d"], "C")
    assert [row["gpt_answer"] for row in rows(hub / "WILD_IT")] == ["Una lunga descrizione.", "Un'altra."]
    assert [row["answer"] for row in rows(folder / "captions")] == ["Un rosso.", "Un blu."]


def test_every_word_has_its_signs_and_sheets_have_letters(folder):
    signs = rows(folder / "swap-uniba" / "MTVQA_IT")
    assert sorted(row["answer"] for row in signs) == sorted(
        [word.lower() for word in WORDS.signs] * SIGNS_PER_WORD
    )
    sheets = rows(folder / "swap-uniba" / "EXAMS-V_IT")
    assert len(sheets) == SHEETS and {row["answer"] for row in sheets} == set("ABCD")


def test_kinds_are_listed_in_the_order_of_the_questions(folder):
    kinds = json.loads((folder / "kinds.json").read_text())
    assert kinds == {"gqa-it": ["colour"], "ok-vqa-it": ["count", "fruit"]}
