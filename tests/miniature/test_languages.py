"""The demo in other languages than Italian: data, a few steps, tasks, perplexity, report; with one model."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from miniature import data_demo, debian_packages, demo, steps
from miniature.worlds import drawn
from ndino.cli import main as ndino
from ndino.formats.family import Family
from ndino.formats.llava_json import read_conversations
from ndino.languages.language import codes, language
from ndino.languages.lexicon import lexicon
from tests.languages.copies import language_file

TASKS = ("gqa", "ok-vqa", "seedbench", "mtvqa", "exams-v", "pope", "llava-bench")


def logged(folder: Path, task: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("code", ["es", "ca"])
def test_a_language_goes_from_its_words_to_its_report(code, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "FAST_STEPS", 2)
    monkeypatch.setattr(drawn, "FAST_TRAINING_SCENES", 40)
    monkeypatch.setattr(drawn, "FAST_TEST_SCENES", 12)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    family = Family(models={"IT": ("mlp", "it")})
    for job in demo.plan(tmp_path, family, world="drawn", lang=code, seed=1, fast=True):
        if job.name != "tasks, part 2 of 2":  # of other models
            job.run(lambda *_: None, *job.arguments)
    assert ndino(["report", str(tmp_path)]) == 0

    scores = json.loads((tmp_path / "report" / "summary.json").read_text(encoding="utf-8"))
    kinds = {"captions", "colour", "place", "count", "fruit"}
    assert set(scores["models"]["IT"]) == {f"{task}-{code}" for task in TASKS} | kinds
    assert set(scores["perplexity"]["IT"]) == {f"llava-bench-{code}", f"mtvqa-{code}"}
    words, folder = lexicon(code), tmp_path / "eval" / "IT"
    colours, counts = logged(folder, "colour"), logged(folder, "count")
    assert {row["target"] for row in colours} <= {*words.colours.values()}
    assert all(row["question"].startswith(words.colour_question.partition("{")[0]) for row in colours)
    # Where there is a number, some annotators write digits, which count as well.
    assert {row["target"][0] for row in counts} <= {*words.numbers}
    assert {row["target"] for row in logged(folder, f"pope-{code}")} == {words.yes, words.no}
    assert f"POPE-{code.upper()}" in (tmp_path / "report" / "tables.md").read_text(encoding="utf-8")


def test_a_language_needs_its_file_alone(tmp_path, monkeypatch):
    (tmp_path / "languages").mkdir()
    # It is in none of the published sets.
    none = {"m3exam": "", "xm3600": "", "flores": ""}
    language_file(monkeypatch, tmp_path / "languages", "q-m", like="es", codes=none)
    monkeypatch.setattr(drawn, "FAST_TRAINING_SCENES", 40)
    steps.make_world(lambda *_: None, tmp_path / "data", "drawn", "q-m", 1, True)
    kinds = json.loads((tmp_path / "data" / "benchmarks" / "kinds.json").read_text(encoding="utf-8"))
    assert set(kinds) == {"gqa-q-m", "ok-vqa-q-m"}
    assert (tmp_path / "data" / "benchmarks" / "swap-uniba" / "POPE_Q-M").is_dir()
    assert (tmp_path / "data" / "benchmarks" / "floschne" / "multimodal-m3exam" / "q-m.parquet").is_file()
    asked = {row.turns[0].text.split("\n")[1] for row in read_conversations(tmp_path / "data" / "it.jsonl")}
    assert lexicon("es").count_question in asked


def test_what_a_language_lacks_is_named_before_anything_is_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "languages").mkdir()
    language_file(monkeypatch, tmp_path / "languages", "q-n", like="es", without=("reading", "miniature"))
    for lang, said in (("q-n", "miniature is missing"), ("xx", f"not among {', '.join(codes())}")):
        out = tmp_path / lang
        assert demo.main(["--fast", "--lang", lang, "--out", str(out)]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"demo: language '{lang}': {said}") and "remedy: " in told
        assert told.count("\n") == 1 and not out.exists()


@pytest.mark.parametrize(
    ("lang", "said"), [("it it", "names it twice"), (" ", "names nothing"), ("xx", "one of these")]
)
def test_a_language_that_cannot_be_is_one_line_and_makes_no_folder(tmp_path, capsys, lang, said):
    with contextlib.suppress(SystemExit):
        assert demo.main(["--lang", lang, "--out", str(tmp_path / "out")]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert said in told and "(remedy: " in told and not (tmp_path / "out").exists()


@pytest.mark.parametrize("lang", ["xx", "it,es", "IT"])
def test_the_data_demo_names_a_language_that_cannot_be_and_no_resuming(tmp_path, capsys, lang):
    assert data_demo.main(["--lang", lang, "--out", str(tmp_path / "out")]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert f"language '{lang}': not among" in told and "resume" not in told
    assert not (tmp_path / "out").exists()


def test_a_language_without_stamps_is_refused_before_anything_is_made_or_installed(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "languages").mkdir()
    words = {**language("es").miniature}
    del words["stamps"]
    language_file(monkeypatch, tmp_path / "languages", "q-o", like="es", miniature=words)
    assert data_demo.main(["--lang", "q-o", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert debian_packages.main(["q-o"]) == 2 == debian_packages.main(["xx"])
    again = capsys.readouterr()
    assert told.out == again.out == "" and not (tmp_path / "out").exists()
    assert told.err == again.err.splitlines(keepends=True)[0]
    assert "data demo: language 'q-o': miniature.stamps is missing (remedy: " in told.err
    assert "data demo: language 'xx': not among" in again.err


@pytest.mark.parametrize("program", [demo, data_demo])
def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path, capsys, program):
    (tmp_path / "out").write_text("")
    assert program.main(["--out", str(tmp_path / "out")]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert "out: is a file, not a folder (remedy: " in told
