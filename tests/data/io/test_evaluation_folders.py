"""Benchmarks as the Parquet folders that the tasks read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ndino.data.errors import DataError
from ndino.data.io.evaluation_folders import SETS, write_evaluation_folders
from ndino.formats.hub_folders import load_folder
from tests.data.samples.cauldron_samples import draw_image


def finished_rows(out: Path, *rows: dict, lang: str = "it") -> Path:
    """A merged folder with these rows, whose images are ``a.png``."""
    (out / "images").mkdir(parents=True)
    (out / "images" / "a.png").write_bytes(draw_image(1))
    (out / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (out / "manifest.json").write_text(json.dumps({"lang": lang}))
    return out


def test_every_benchmark_gets_its_columns_under_its_own_name(tmp_path: Path, capsys) -> None:
    pope = {"id": "1", "image": "a.png", "question": "C'è?", "answer": "sì", "category": "random"}
    exam = {"id": "2", "image": "a.png", "question": "Risolvi.", "answer": "C"}
    out = finished_rows(
        tmp_path / "out", {**pope, "source": "POPE", "unused": 1}, {**exam, "source": "exams-v"}
    )
    assert write_evaluation_folders(out) == 0
    (document,) = load_folder(out / "benchmarks" / "swap-uniba" / "POPE_IT", split="test")
    assert tuple(document) == SETS["POPE"].columns
    assert (document["answer"], document["image"].size) == ("sì", (32, 32))
    (document,) = load_folder(out / "benchmarks" / "swap-uniba" / "EXAMS-V_IT", split="test")
    assert document["answer"] == "C"
    assert capsys.readouterr().out.count("1 questions") == 2


def test_the_language_is_in_the_name(tmp_path: Path) -> None:
    row = {"id": "1", "image": "a.png", "question": "¿Qué?", "answer": "x", "source": "mtvqa"}
    out = finished_rows(tmp_path / "out", row, lang="es")
    assert write_evaluation_folders(out) == 0
    assert (out / "benchmarks" / "swap-uniba" / "MTVQA_ES").is_dir()


def test_the_images_of_gqa_are_a_set_of_their_own(tmp_path: Path) -> None:
    row = {"question_id": "1", "img_id": "n1", "sent": "Chi?", "label": "{}", "image": "a.png"}
    rows = [{**row, "source": "gqa-it"}, {**row, "question_id": "2", "source": "gqa-it"}]
    out = finished_rows(tmp_path / "out", *rows)
    assert write_evaluation_folders(out) == 0
    assert load_folder(out / "benchmarks" / "crux82" / "gqa-it", split="test")["question_id"] == ["1", "2"]
    (image,) = load_folder(out / "benchmarks" / "lmms-lab" / "GQA", split="testdev")
    assert (image["id"], image["image"].size) == ("n1", (32, 32))


def test_gqa_in_another_language_lies_beside_other_benchmarks(tmp_path: Path) -> None:
    pope = {"id": "1", "image": "a.png", "question": "¿Hay?", "answer": "sí", "category": "random"}
    gqa = {"question_id": "1", "img_id": "n1", "sent": "¿Quién?", "answer": "nadie", "image": "a.png"}
    types = {"structural": "query", "semantic": "obj"}
    out = finished_rows(
        tmp_path / "out", {**pope, "source": "POPE"}, {**gqa, "types": types, "source": "GQA"}, lang="es"
    )
    assert write_evaluation_folders(out) == 0
    (document,) = load_folder(out / "benchmarks" / "crux82" / "gqa-es", split="test")
    assert (document["answer"], document["types"]) == ("nadie", types)
    assert len(load_folder(out / "benchmarks" / "lmms-lab" / "GQA", split="testdev")) == 1


def test_other_rows_and_unfinished_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a finished folder \(remedy: ndino data merge"):
        write_evaluation_folders(tmp_path)
    out = finished_rows(tmp_path / "out", {"id": "1", "source": "wit/caption"})
    with pytest.raises(DataError, match=r"rows of 'wit/caption' are not a benchmark \(remedy"):
        write_evaluation_folders(out)
