"""JSON and YAML nested 100,000 times: every command that reads a file names it in one line, and soon.

Parsers meet such a file with a RecursionError, and one that streams it takes all memory of the machine.
"""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from ndino.cli import main
from ndino.common.parsing import NESTED
from tests.data.framework import toy
from tests.test_missing_inputs import DATA, FAMILY, LEAVES, NODES, OUT, STAGE, START, SUBMIT, folder  # noqa: F401

ROOT = Path(__file__).parents[1]
DEEP = "[" * 100_000
# Commands that read none: they take names, addresses, tables or folders of images and PDFs.
NONE_READ = {
    "ndino cluster gpus",
    "ndino data benchmarks",
    "ndino data cauldron",
    "ndino data convert-madlad",
    "ndino data wit",
    "ndino judge check",  # but its own verdicts: tests/judge breaks them
    "ndino language check",  # of a code: tests/languages/test_language.py breaks its file
    "ndino language new",
    "ndino tasks",
}
READ: dict[str, list[list[str]]] = {
    "ndino train": [
        ["deep.yaml", *OUT, *START, *DATA],
        [*STAGE, *START, *DATA, "--overrides", "deep.yaml"],
        [*STAGE, "--model", "model", *DATA],
    ],
    "ndino convert": [["model", "out"]],
    "ndino export": [["model", "--to", "gguf"]],
    "ndino evaluate": [["--model", "model"]],
    "ndino chat": [["model"]],
    "ndino rescore": [["results/eval/A"]],
    "ndino judge run": [["results", "--judge", "http://127.0.0.1:9/v1#m"]],
    "ndino perplexity": [
        ["--model", "model", "--data", "deep.jsonl"],
        ["--model", "model", "--data", "deep.json"],
    ],
    "ndino compare": [["results", "--models", "A", "A"]],
    "ndino report": [["results"], ["--leaderboard", "deep.json", *OUT]],
    "ndino data eurlex": [["deep.jsonl", *OUT, "--contact", "me@example.org"]],
    "ndino data conversations": [["deep.json", "--images", "launch", *OUT]],
    "ndino data native": [["gqa-it", "--questions", "deep.json", "--source", "launch", *OUT]],
    "ndino data lcs": [["deep.json", "--images", "launch", *OUT]],
    "ndino data text": [["--source", "deep.json", *OUT]],
    "ndino data evaluation-folders": [["folder"]],
    "ndino data mix": [
        ["--take", "toy=1", "--folders", "folder", *OUT],
        ["--take", "rows=1", "--folders", "rows", *OUT],
    ],
    "ndino data check": [["deep.json"], ["deep.jsonl"], ["folder"], ["rows"]],
    "ndino data leaks": [["deep.json", "--benchmarks", "launch", "--images", "launch", "--out", "out.json"]],
    "ndino data merge": [["shards"]],
    "ndino data pack": [["folder"]],
    "ndino data review": [["folder"], ["rows"], ["good", "--read", "deep.json"]],
    "ndino data tables": [["folder", *OUT]],
    "ndino cluster check": [["deep.yaml", *OUT, *START, *DATA, *NODES]],
    "ndino cluster prepare": [["deep.yaml", *OUT, *START, *DATA, *NODES]],
    "ndino cluster outcome": [["deep.yaml", *OUT, *START]],
    "ndino cluster family": [["deep.yaml", *FAMILY, *NODES, *SUBMIT]],
    "ndino cluster status": [["deep.yaml", *FAMILY]],
    "ndino cluster questions": [["deep.yaml", "--lang", "it"]],
    "ndino cluster stage-weights": [["deep.yaml"]],
}
COMMANDS = [(program, *arguments) for program, lines in READ.items() for arguments in lines]


def test_every_command_is_tried():
    assert set(READ) == LEAVES - NONE_READ


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished data folder."""
    out = tmp_path_factory.mktemp("toy") / "data"
    assert toy.run("--out", out) == 0
    return out


@pytest.fixture
def deep(folder: Path, finished: Path) -> Path:  # noqa: F811
    for name in ("deep.json", "deep.jsonl", "deep.yaml"):
        (folder / name).write_text(DEEP)
    for name in ("config.json", "tokenizer_config.json"):
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / name).write_text(DEEP)
    for name in ("folder", "shards", "good"):
        shutil.copytree(finished, folder / name)
    (folder / "folder" / "manifest.json").write_text(DEEP)
    next((folder / "shards" / "shards").glob("*/done.json")).write_text(DEEP)
    (folder / "rows").mkdir()
    (folder / "rows" / "data.jsonl").write_text(DEEP)
    (folder / "results" / "eval" / "A").mkdir(parents=True)
    (folder / "results" / "eval" / "A" / "results.json").write_text(DEEP)
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_nested_too_deeply_is_named_in_one_line(command, capsys, deep):
    program, *arguments = command
    code = main([*program.split()[1:], *arguments])
    said = "".join(capsys.readouterr())
    assert code in (1, 2), said
    lines = [line for line in said.splitlines() if NESTED in line]
    assert len(lines) == 1 and "(remedy: " in lines[0] and len(lines[0]) < 400, said


def test_everything_is_parsed_with_the_guard():
    """Except what this process has written itself a moment ago."""
    unguarded = []
    for path in sorted((ROOT / "ndino").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "json" not in text and "yaml" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            called = ast.unparse(node) if isinstance(node, ast.Call) else ""
            if called.startswith(("json.load(", "json.loads(", "yaml.safe_load(", "yaml.load(")):
                unguarded.append((path.relative_to(ROOT).as_posix(), called))
    ours = {"ndino/common/parsing.py", "ndino/data/translation/quality/comet_process.py"}
    assert [one for one in unguarded if one[0] not in ours and "json.dumps(" not in one[1]] == []
