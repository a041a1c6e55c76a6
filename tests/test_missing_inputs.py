"""Inputs named on the command line that do not exist: every command says so in one line and exits with 2."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from ndino.cli import main
from tests.test_cli import PARSERS, ROOT

LEAVES = {
    program
    for program, made in PARSERS.items()
    if not any(isinstance(action, argparse._SubParsersAction) for action in made._actions)
}
NO_INPUT = {"ndino cluster gpus", "ndino tasks"}
STAGE = ["launch/recipes/mlp.yaml", "--out", "out"]
START = ["--language-model", "launch", "--vision-tower", "launch"]
DATA = ["--data", "data.jsonl", "--images", "launch"]
NODES = ["--nodes", "1", "--gpus", "1"]
FAMILY = [*START, "--runs", "runs", "--engine", "native"]
SUBMIT = ["--tasks", "pope-it", "--perplexity-sets", "", "--benchmarks", "launch"]
TRANSLATE = ["--translator", "madlad", "--translator-model"]
OUT = ["--out", "out"]
NO = "nowhere"
MISSING: dict[str, list[list[str]]] = {
    "ndino train": [
        [NO, "--out", "out", *START, *DATA],
        [*STAGE, "--language-model", NO, "--vision-tower", "launch", *DATA],
        [*STAGE, "--language-model", "launch", "--vision-tower", NO, *DATA],
        [*STAGE, "--model", NO, *DATA],
        [*STAGE, *START, "--data", "nowhere.jsonl", "--images", "launch"],
        [*STAGE, *START, "--data", "data.jsonl", "--images", NO],
        [*STAGE, *START, *DATA, "--overrides", NO],
    ],
    "ndino language new": [[NO]],
    "ndino language check": [[NO]],
    "ndino convert": [[NO, "out"], ["launch", "out", "--manifest", NO]],
    "ndino export": [[NO, "--to", "gguf"]],
    "ndino evaluate": [
        ["--model", NO],
        ["--model", "X=nowhere"],
        ["--model", "launch", "--data", NO],
    ],
    "ndino chat": [[NO], ["X=nowhere"], ["launch", "--data", NO]],
    "ndino rescore": [[NO], ["launch", "--data", NO]],
    "ndino judge run": [[NO, "--judge", "launch"], ["launch", "--judge", NO]],
    "ndino judge check": [["--judge", NO]],
    "ndino perplexity": [
        ["--model", NO, "--data", "answers.jsonl"],
        ["--model", "launch", "--data", "nowhere.jsonl"],
        ["--model", "launch", "--data", NO],
        ["--model", "launch", "--data", "answers.jsonl", "--images", NO],
    ],
    "ndino compare": [[NO, "--models", "A", "B"], [NO, "launch"]],
    "ndino report": [[NO], ["launch", "--data", NO], ["--leaderboard", NO, "--out", "out"]],
    "ndino data wit": [["nowhere.tsv", *OUT, "--contact", "me@example.org"]],
    "ndino data eurlex": [
        [NO, *OUT, "--contact", "me@example.org"],
        ["nowhere.txt", *OUT, "--contact", "me@example.org"],
        ["--pdfs", NO, *OUT],
    ],
    "ndino data cauldron": [
        ["--source", NO, *OUT],
        ["--tasks", "vqav2", *TRANSLATE, NO, "--source", "cauldron", *OUT],
    ],
    "ndino data conversations": [
        ["nowhere.json", "--images", "launch", *OUT],
        ["data.jsonl", "--images", NO, *OUT],
        ["data.jsonl", "--images", "launch", *TRANSLATE, NO, *OUT],
        ["data.jsonl", "--images", "launch", "--translator", "llm", "--translator-model", NO, *OUT],
        ["data.jsonl", "--images", "launch", "--quality", "comet", "--quality-model", NO, *OUT],
    ],
    "ndino data native": [
        ["mtvqa", "--source", NO, *OUT],
        ["exams-v", "--source", NO, *OUT],
        ["gqa-it", "--questions", NO, "--source", "launch", *OUT],
        ["gqa-it", "--questions", "questions.json", "--source", NO, *OUT],
    ],
    "ndino data lcs": [
        ["nowhere.json", "--images", "launch", *OUT],
        ["data.jsonl", "--images", NO, *OUT],
    ],
    "ndino data text": [["--source", NO, *OUT], ["--source", "nowhere.jsonl", *OUT]],
    "ndino data benchmarks": [["--source", NO, *OUT]],
    "ndino data evaluation-folders": [[NO]],
    "ndino data mix": [["pt", "--folders", NO, *OUT], ["--take", "a=1", "--folders", NO, *OUT]],
    "ndino data check": [[NO], ["nowhere.jsonl"], ["data.jsonl", "--images", NO]],
    "ndino data leaks": [
        [NO, "--benchmarks", "launch", *OUT],
        ["data.jsonl", "--benchmarks", NO, "--images", "launch", *OUT],
        ["data.jsonl", "--benchmarks", "launch", "--images", NO, *OUT],
    ],
    "ndino data merge": [[NO]],
    "ndino data pack": [[NO]],
    "ndino data review": [[NO], [NO, "--read", "nowhere.json"]],
    "ndino data tables": [[NO, "--out", "out"]],
    "ndino data convert-madlad": [["--model", NO, *OUT]],
    # It reports what is wrong with the other inputs all at once, as findings, and exits with 1.
    "ndino cluster check": [[NO, "--out", "out", *START, *DATA, *NODES]],
    "ndino cluster prepare": [
        [NO, "--out", "out", *START, *DATA, *NODES],
        [*STAGE, "--model", NO, *DATA, *NODES],
    ],
    "ndino cluster outcome": [[NO, "--out", "out", *START]],
    "ndino cluster family": [[NO, *FAMILY, *NODES, *SUBMIT]],
    "ndino cluster status": [[NO, *FAMILY]],
    "ndino cluster questions": [[NO]],
    "ndino cluster stage-weights": [[NO]],
}
COMMANDS = [(program, *arguments) for program, lines in MISSING.items() for arguments in lines]


def test_every_command_is_tried():
    assert set(MISSING) == LEAVES - NO_INPUT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "launch").symlink_to(ROOT / "launch")
    for name in ("data.jsonl", "answers.jsonl"):
        (tmp_path / name).write_text("")
    table = tmp_path / "cauldron" / "vqav2" / "a.parquet"
    table.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.table({"images": [[]], "texts": [[]]}), table)
    (tmp_path / "questions.json").write_text('[{"imageId": "1", "question": "Che cosa?"}]')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_missing_input_is_one_line_and_2(command, capsys, folder):
    program, *arguments = command
    assert main([*program.split()[1:], *arguments]) == 2, capsys.readouterr().err
    said = capsys.readouterr().err
    assert said.startswith(f"{program}: ") and said.count("\n") == 1 and said.count("(remedy: ") == 1, said
    assert "nowhere" in said and not (folder / "out").exists()


# What each command asks the hub for: a name that is given, and its default.
ON_THE_HUB = [
    "data cauldron --source owner/nowhere --out out",
    "data cauldron --source nowhere --out out",
    "data cauldron --out out",
    "data benchmarks --source owner --out out",
    "data benchmarks --out out",
    "data native mtvqa --source owner/nowhere --out out",
    "data native mtvqa --out out",
    "data native exams-v --out out",
    "data native gqa-it --questions questions.json --out out",
    "data eurlex owner/nowhere --contact me@example.org --out out",
    "data convert-madlad --model owner/nowhere --out out",
    "evaluate --model owner/nowhere",
    "chat owner/nowhere",
    "perplexity --model owner/nowhere --data answers.jsonl",
    "judge check --judge owner/nowhere",
]
RUN_ALL = """
import shlex, sys
from ndino.cli import main
for line in sys.argv[1:]:
    print(f"# {main(shlex.split(line))} {line}", file=sys.stderr, flush=True)
"""


def test_a_hub_that_does_not_answer_is_one_line(folder):
    shown = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, *ON_THE_HUB],
        # Nothing listens on the discard port.
        env=shown | {"HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT), "HF_HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 2 * len(ON_THE_HUB), done.stderr
    for command, said, ended in zip(ON_THE_HUB, lines[::2], lines[1::2], strict=True):
        assert ended == f"# 2 {command}"
        program = " ".join(command.split()[: 2 if command.startswith(("data", "judge")) else 1])
        assert said.startswith(f"ndino {program}: ") and said.endswith(")") and "(remedy: " in said, said
        assert len(said) < 500
