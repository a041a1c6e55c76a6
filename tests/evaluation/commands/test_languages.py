"""``ndino evaluate`` in other languages than Italian, on local data, with a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import refused
from tests.evaluation.benchmarks import ITALIAN, write_benchmarks
from tests.languages.copies import language_file

SPANISH = {
    "colour": "¿De qué color es?",
    "red": "¿Hay algo rojo en la imagen?",
    "describe": "Describe la imagen.",
    "yes": "sí",
    "no": "no",
    "rosso": "rojo",
    "verde": "verde",
    "blu": "azul",
    "giallo": "amarillo",
}


@pytest.fixture(scope="module")
def spanish(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The benchmarks in both languages, with the same images."""
    assert SPANISH.keys() == ITALIAN.keys()
    data = tmp_path_factory.mktemp("data")
    write_benchmarks(data, rows=4)
    return write_benchmarks(data, rows=4, code="es", words=SPANISH)


def rows(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def test_all_tasks_of_a_language_are_scored_with_their_controls_and_again_from_kept_answers(
    run, spanish, tmp_path, loads, capsys
):
    ask = ("--lang", "es", "--limit", "2", "--shuffle")
    assert run(*ask, data=spanish) == 0
    folder = tmp_path / "eval" / "it"
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tasks"]
    names = ("gqa", "ok-vqa", "seedbench", "mtvqa", "exams-v", "pope", "llava-bench")
    assert set(found) == {f"{name}-es" for name in names}
    assert all(entry["shuffled"] for entry in found.values())
    assert rows(folder, "pope-es.jsonl")[0]["question"] == SPANISH["red"]
    assert rows(folder, "gqa-es.jsonl")[1]["target"] == "verde"
    assert "pope-es" in capsys.readouterr().out
    assert run(*ask, data=spanish) == 0 and loads == ["it"]


def test_languages_share_a_model_and_a_folder_but_no_results_or_answers(run, spanish, tmp_path, loads):
    assert run("--tasks", "pope-it", data=spanish) == 0
    italian = (tmp_path / "eval" / "it" / "pope-it.jsonl").read_bytes()
    assert run("--tasks", "pope-es,pope-it", data=spanish) == 0
    assert loads == ["it", "it"]
    folder = tmp_path / "eval" / "it"
    assert (folder / "pope-it.jsonl").read_bytes() == italian
    assert {row["question"] for row in rows(folder, "pope-es.jsonl")} == {SPANISH["red"]}
    assert {row["question"] for row in rows(folder, "pope-it.jsonl")} == {ITALIAN["red"]}
    stated = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tasks"]
    keys = [{**stated[task]["depends"]["task"]} for task in ("pope-it", "pope-es")]
    assert all(keys[0][part] != keys[1][part] for part in ("data", "prompts", "definition", "language"))


def test_a_file_that_is_too_short_is_named_with_what_it_lacks_before_anything_else(
    run, tmp_path, monkeypatch, capsys
):
    language_file(monkeypatch, tmp_path, "q-c", without=("short_answer",))
    for given in (("--lang", "q-c"), ("--tasks", "pope-q-c")):
        assert run(*given) == 2
        said = capsys.readouterr().err
        assert "language 'q-c': has no tasks without short_answer (remedy: " in said
        assert said.count("\n") == 1


def test_a_language_and_tasks_contradict_each_other(capsys):
    asked = ("evaluate", "--model", "launch", "--lang", "es", "--tasks", "pope-it")
    assert "--lang goes without --tasks (remedy: --tasks with tasks of the language, such as pope-es)" in (
        refused(capsys, *asked, code=2)
    )
