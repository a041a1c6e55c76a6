"""The data demo's sources have the published columns, and the same seed writes the same files."""

from __future__ import annotations

import ast
import csv
import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from miniature import data_inputs
from miniature.data_inputs import InputsError, choose_stamps, make_inputs, write_wit
from miniature.worlds.stamp_files import VARIABLE, StampsError
from ndino.languages.lexicon import stamp_words
from tests.miniature.worlds.stamps_package import write_package

WORDS = stamp_words("it")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "book.pdf").write_bytes(b"%PDF-1.4 stands for a book")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(write_package(folder / "stamps")))
        patch.setattr(data_inputs, "reference_pdf", lambda lang, say: folder / "book.pdf")
        patch.setattr(data_inputs, "STAMPS", 12)
        for name in ("a", "b"):
            make_inputs(folder / name, lang="it", seed=5)
    return folder


def table(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def test_the_same_seed_writes_the_same_files(inputs):
    files = [path.relative_to(inputs / "a") for path in sorted((inputs / "a").rglob("*")) if path.is_file()]
    assert len(files) > 12
    assert all((inputs / "a" / path).read_bytes() == (inputs / "b" / path).read_bytes() for path in files)


def test_a_complete_folder_is_kept(inputs):
    written = (inputs / "a" / "conversations.json").stat().st_mtime_ns
    make_inputs(inputs / "a", lang="it", seed=6)
    assert (inputs / "a" / "conversations.json").stat().st_mtime_ns == written


def test_sources_in_another_language_are_not_taken_for_these(inputs):
    with pytest.raises(InputsError, match=r"/a: sources in it, not es \(remedy: choose another --out\)"):
        make_inputs(inputs / "a", lang="es", seed=5)


def test_a_lettered_option_is_right(inputs):
    rows = table(inputs / "a" / "the_cauldron" / "visual7w" / "train-00000-of-00001.parquet")
    stamps = json.loads((inputs / "a" / "made.json").read_text())["stamps"]
    for row, stamp in zip(rows, stamps, strict=True):
        text = row["texts"][0]
        letter = text["assistant"].removeprefix("Answer: ")
        assert f"{letter}. A {stamp.rpartition('/')[2]}.\n" in text["user"]


def test_pope_asks_about_as_many_present_as_absent_things(inputs):
    rows = table(inputs / "a" / "lmms-lab" / "POPE" / "data" / "test-00000-of-00001.parquet")
    assert [row["answer"] for row in rows] == ["yes", "no"] * 12
    for present, absent in zip(rows[::2], rows[1::2], strict=True):
        assert present["image"] == absent["image"] and present["question"] != absent["question"]


def test_every_fourth_row_of_mtvqa_is_in_another_language(inputs):
    rows = table(inputs / "a" / "MTVQA" / "data" / "train-00000-of-00001.parquet")
    assert [row["lang"] for row in rows] == ["it", "it", "it", "fr"] * 3
    assert {pair["question"] for row in rows for pair in ast.literal_eval(row["qa_pairs"])} == {
        "Qual è l'argomento dell'immagine?",
        "Che cosa mostra l'immagine?",
    }


def test_the_wit_table_has_an_image_that_is_missing(inputs, monkeypatch):
    monkeypatch.setattr(data_inputs, "STAMPS", 12)
    write_wit(inputs / "wit.tsv.gz", choose_stamps(inputs / "stamps", WORDS, 5), "http://127.0.0.1:1", WORDS)
    with gzip.open(inputs / "wit.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    italian = [
        row["image_url"].removeprefix("http://127.0.0.1:1/") for row in rows if row["language"] == "it"
    ]
    missing = [url for url in italian if not (inputs / "stamps" / url).exists()]
    assert (len(rows), len(italian), len(missing)) == (25, 13, 1)


def test_too_few_stamps_are_refused(inputs):
    with pytest.raises(StampsError, match="60 usable stamps, 120 are needed"):
        choose_stamps(inputs / "stamps", WORDS, 5)
