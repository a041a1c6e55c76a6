"""MTVQA and EXAMS-V, for training and for test."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.data.sources.native import LONGEST_LIST, read_question_list
from ndino.evaluation.tasks.framework import instructions
from ndino.formats.hub_folders import load_folder
from tests.commands import data as main
from tests.data.samples.native_samples import PAIRS, write_exams, write_gqa, write_mtvqa
from tests.languages.copies import language_file


def rows_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def run(name: str, source: Path, out: Path, *arguments: str) -> int:
    return main(["native", name, "--source", str(source), "--out", str(out), *arguments])


def test_mtvqa_for_training_has_the_prompt_of_the_task(tmp_path):
    write_mtvqa(tmp_path / "hub")
    assert run("mtvqa", tmp_path / "hub", tmp_path / "out", "--split", "train") == 0
    first, second = rows_of(tmp_path / "out" / "data.jsonl")
    question = first["conversations"][0]["value"]
    assert question == "<image>\nCosa c'è scritto?" + instructions.short_answer("it")
    assert [row["conversations"][1]["value"] for row in (first, second)] == ["Uscita", "8"]
    assert (first["source"], first["image"]) == ("mtvqa", second["image"])
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"] == {"mtvqa/train": 2}


def test_mtvqa_for_test_has_the_columns_of_the_task(tmp_path):
    write_mtvqa(tmp_path / "hub")
    assert run("mtvqa", tmp_path / "hub", tmp_path / "out") == 0
    folder = tmp_path / "out" / "benchmarks" / "swap-uniba" / "MTVQA_IT"
    documents = load_folder(folder, split="test")
    assert documents["answer"] == ["Uscita", "8"]
    assert documents[0]["question"] == "Cosa c'è scritto?"  # the task adds its prompt
    assert documents[0]["image"].size == (32, 32)


def test_another_language_has_its_own_prompts(tmp_path):
    write_mtvqa(tmp_path / "hub", lang="ES")
    assert run("mtvqa", tmp_path / "hub", tmp_path / "out", "--split", "train", "--lang", "es") == 0
    rows = rows_of(tmp_path / "out" / "data.jsonl")
    assert rows[0]["conversations"][0]["value"].endswith("\nResponde con una sola palabra o frase.")


def test_a_set_may_have_a_name_of_its_own_for_a_language(tmp_path, monkeypatch, capsys):
    (tmp_path / "files").mkdir()
    language_file(monkeypatch, tmp_path / "files", "arz", codes={"mtvqa": "AR"})
    write_mtvqa(tmp_path / "hub", lang="AR")
    assert run("mtvqa", tmp_path / "hub", tmp_path / "out", "--split", "train", "--lang", "arz") == 0
    assert len(rows_of(tmp_path / "out" / "data.jsonl")) == 4
    language_file(monkeypatch, tmp_path / "files", "ary", codes={"mtvqa": ""})
    assert run("mtvqa", tmp_path / "hub", tmp_path / "none", "--lang", "ary") == 2
    assert "language 'ary': no MTVQA code is known for it" in capsys.readouterr().err


def test_a_missing_answer_costs_only_its_question(tmp_path):
    some = [{"question": "Che ora è?", "answer": "8"}, {"question": "Chi è?", "answer": " "}]
    some += [{"question": None, "answer": "x"}, {"question": "Dove?", "answer": "Roma"}]
    write_mtvqa(tmp_path / "hub", (str(some),))
    assert run("mtvqa", tmp_path / "hub", tmp_path / "out", "--split", "train") == 0
    rows = rows_of(tmp_path / "out" / "data.jsonl")
    assert [row["conversations"][1]["value"] for row in rows] == ["8", "Roma"]
    rejects = rows_of(tmp_path / "out" / "rejects.jsonl")
    assert [(one["where"].rpartition("-")[2], one["reason"]) for one in rejects] == [
        ("01", "no question or no answer"),
        ("02", "no question or no answer"),
    ]


def test_exams_v_reads_a_letter_in_every_way_it_is_written(tmp_path):
    write_exams(tmp_path / "hub", ("B.", "(B)", "b)", " C ", "[D]", "BC", "()"))
    assert run("exams-v", tmp_path / "hub", tmp_path / "out", "--split", "train") == 0
    rows = rows_of(tmp_path / "out" / "data.jsonl")
    assert [row["conversations"][1]["value"] for row in rows] == ["B", "B", "B", "C", "D"]


def test_exams_v(tmp_path):
    write_exams(tmp_path / "hub", ("A", "c", "?", None, "12"))
    assert run("exams-v", tmp_path / "hub", tmp_path / "out", "--split", "train") == 0
    rows = rows_of(tmp_path / "out" / "data.jsonl")
    assert [row["conversations"][1]["value"] for row in rows] == ["A", "C"]
    assert rows[0]["conversations"][0]["value"].endswith(instructions.letter_answer("it"))
    rejects = rows_of(tmp_path / "out" / "rejects.jsonl")
    assert [one["reason"] for one in rejects] == ["answer is not a letter"] * 3
    assert run("exams-v", tmp_path / "hub", tmp_path / "test") == 0
    documents = load_folder(tmp_path / "test" / "benchmarks" / "swap-uniba" / "EXAMS-V_IT", split="test")
    assert documents["answer"] == ["A", "C"]


@pytest.mark.parametrize(
    "text",
    [
        None, 3, "", "nonsense", "[", "[1]", "[{}]", "{'question': 'a', 'answer': 'b'}", "[]",
        "[{'question': 'a'}]", "[{'question': '', 'answer': 'b'}]", "[{'question': 'a', 'answer': ' '}]",
        "[{'question': 'a', 'answer': ['b']}]", "__import__('os').getcwd()", "(" * 5000,
        "[{'question': 'a', 'answer': 'b'}]" + " " * LONGEST_LIST,
    ],
)  # fmt: skip
def test_other_texts_are_not_a_list_of_questions(text):
    assert read_question_list(text) is None


def test_lists_of_questions():
    assert read_question_list(PAIRS) == (("Cosa c'è scritto?", "Uscita"), ("Che ora è?", "8"))
    assert read_question_list("[{'question': 'Quanti?', 'answer': 3}]") == (("Quanti?", "3"),)


@given(st.text())
def test_no_text_crashes_the_parser_of_lists(text):
    read_question_list(text)
    assert read_question_list(str([{"question": "a" + text, "answer": "b" + text}])) == (
        (("a" + text).strip(), ("b" + text).strip()),
    )


def test_rows_that_cannot_be_read_are_rejected(tmp_path):
    write_mtvqa(tmp_path / "hub", (PAIRS, "[nonsense", None))
    assert run("mtvqa", tmp_path / "hub", tmp_path / "out") == 0
    assert [one["reason"] for one in rows_of(tmp_path / "out" / "rejects.jsonl")] == [
        "questions cannot be read"
    ] * 2


@pytest.mark.parametrize(
    ("name", "was", "now"),
    [("mtvqa", b"rosso", b"verde"), ("exams-v", b"English", b"Spanish"), ("gqa-it", b"blu", b"oro")],
)
def test_an_input_that_changed_under_its_size_and_time_is_another_input(tmp_path, capsys, name, was, now):
    if name == "gqa-it":
        zipped, hub = write_gqa(tmp_path / "hub")
        file = write_bytes(tmp_path / "questions.json", gzip.decompress(zipped.read_bytes()))
        arguments = ["--questions", str(file)]
    elif name == "mtvqa":
        hub = write_mtvqa(tmp_path / "hub", (PAIRS.replace("Uscita", "rosso"),))
        file, arguments = hub / "data" / "train-00000-of-00001.parquet", ["--split", "train"]
    else:
        hub = write_exams(tmp_path / "hub")
        file, arguments = hub / "data" / "test-00000-of-00001.parquet", []
        was, now = b"s0", b"s7"
    assert run(name, hub, tmp_path / "out", *arguments) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    recorded = {one["sha256"] for one in manifest["inputs"]}
    assert hashlib.sha256(file.read_bytes()).hexdigest() in recorded
    written, content = file.stat().st_mtime_ns, file.read_bytes()
    assert was in content
    write_bytes(file, content.replace(was, now))
    os.utime(file, ns=(written, written))
    capsys.readouterr()
    assert run(name, hub, tmp_path / "out", *arguments) == 1
    said = capsys.readouterr()
    assert f"({file.name if name == 'gqa-it' else 'data/' + file.name})" in said.err
    assert "already" not in said.out


def write_bytes(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def test_impossible_requests_are_explained(tmp_path, capsys):
    write_mtvqa(tmp_path / "hub")
    assert run("gqa-it", tmp_path / "hub", tmp_path / "out") == 2
    assert "--questions" in capsys.readouterr().err
    assert run("mtvqa", tmp_path / "hub", tmp_path / "out", "--lang", "en") == 1
    assert "no row of test is English" in capsys.readouterr().err
