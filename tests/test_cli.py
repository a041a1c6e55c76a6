"""The command line as a whole: help with examples that work, exit codes, former names, the doors."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from fixtures.chat_model import write_chat_model
from fixtures.upstream_checkpoint import write_checkpoint, write_tower
from ndino.cli import COMMANDS, main, parser
from ndino.common.errors import Stopped, UsageError, UserError
from ndino.common.files import sha256_of
from ndino.common.options import CommandParser
from tests.data.framework import toy
from tests.evaluation.answer_files import write_answers
from tests.results.synthetic import write_small_run
from tests.train.conftest import backbones, rows  # noqa: F401

ROOT = Path(__file__).parents[1]
LARGE = {
    "torch",
    "transformers",
    "pyarrow",
    "datasets",
    "ctranslate2",
    "pandas",
    "pypdfium2",
    "scipy",
    "jinja2",
}


def parsers(found: CommandParser) -> Iterator[CommandParser]:
    """A parser, and those of its subcommands."""
    yield found
    for action in found._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


PARSERS = {made.prog: made for name in COMMANDS for made in parsers(parser(name))}
EXAMPLES = [example for made in PARSERS.values() for example in made.examples]


def parse(command: str) -> tuple[str, argparse.Namespace]:
    program, name, *arguments = shlex.split(command)
    assert program == "ndino"
    return name, parser(name).parse_args(arguments)


@pytest.mark.parametrize("program", sorted(PARSERS))
def test_every_help_has_examples_of_its_own_and_explains_every_argument(program):
    made = PARSERS[program]
    assert made.examples and all(example.startswith(f"{program} ") for example in made.examples)
    text = made.format_help()
    assert text.partition("\n\n")[2][0].isupper(), "the description comes first"
    assert f"\n  {program} " in text.rpartition("Example")[2]
    for action in made._actions:
        assert action.help or isinstance(action, argparse._SubParsersAction), action
        if action.default not in (None, argparse.SUPPRESS, False, [], "") and action.option_strings:
            assert "default: " in action.help, action


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_understood(example):
    name, args = parse(example)
    assert name in COMMANDS and vars(args)


def finished(folder: Path, **names: str) -> Path:
    """A finished data folder whose sources toy/images and toy/text have other names."""
    assert toy.run("--out", folder) == 0
    manifest = folder / "manifest.json"
    record = json.loads(manifest.read_text())
    for old, new in names.items():
        record["rows"]["sources"][new] = record["rows"]["sources"].pop(f"toy/{old}")
    manifest.write_text(json.dumps(record))
    for old, new in names.items():
        replace_in(folder, f"toy/{old}", new)
    return folder


def replace_in(folder: Path, old: str, new: str) -> None:
    """Change a text in a data folder's rows, and their digest in its manifest."""
    data, manifest = folder / "data.jsonl", folder / "manifest.json"
    data.write_text(data.read_text().replace(old, new))
    record = json.loads(manifest.read_text())
    record["files"]["data.jsonl"] = sha256_of(data)
    manifest.write_text(json.dumps(record))


def for_check(request: pytest.FixtureRequest) -> None:
    finished(Path("data/wit"))
    shutil.copytree("data/wit", "data/pt")
    lines = Path("data/wit/data.jsonl").read_text().splitlines()
    Path("own.json").write_text(json.dumps([json.loads(line) for line in lines]))
    shutil.copytree("data/wit/images", "photos")


def for_merge(request: pytest.FixtureRequest) -> None:
    finished(Path("data/wit"))
    for name in ("data.jsonl", "manifest.json"):
        Path("data/wit", name).unlink()


def for_mix(request: pytest.FixtureRequest) -> None:
    finished(Path("data/wit"), images="wit/caption", text="wit/section")
    eurlex = finished(Path("data/eurlex"), images="eurlex/images", text="eurlex/text")
    # Ids are unique in a mix.
    replace_in(eurlex, '"id": "', '"id": "eurlex-')


def for_pack(request: pytest.FixtureRequest) -> None:
    if shutil.which("mksquashfs") is None:
        pytest.skip("mksquashfs is not installed")
    finished(Path("data/pt"))


def for_tables(request: pytest.FixtureRequest) -> None:
    counts = {
        "cauldron": {"vqav2/rows": 3, "vqav2/instances": 5, "vqav2/translated": 4},
        "mtvqa": {"mtvqa/train": 8},
        "exams-v": {"exams-v/train": 9},
        "benchmarks": {"POPE/original": 6, "POPE/translated": 5},
    }
    for name, counted in counts.items():
        Path("data", name).mkdir(parents=True)
        manifest = {"source": name, "lang": "it", "files": {}, "counts": counted}
        manifest["rows"] = {"total": 1, "sources": {}}
        Path("data", name, "manifest.json").write_text(json.dumps(manifest))


def for_results(request: pytest.FixtureRequest) -> None:
    write_small_run(Path("runs/demo"))
    shutil.copytree("runs/demo/eval/PT+IT", "elsewhere/eval/mblip")


def for_convert(request: pytest.FixtureRequest) -> None:
    tower = write_tower(Path("clip").resolve())
    write_checkpoint(Path("checkpoints/it"), tower)


def for_evaluate(request: pytest.FixtureRequest) -> None:
    shutil.copytree(request.getfixturevalue("tiny_model_folder"), "runs/demo/mlp-pt-it/model")
    shutil.copytree(request.getfixturevalue("benchmark_folder"), "runs/demo/data/benchmarks")


def for_export(request: pytest.FixtureRequest) -> None:
    shutil.copytree(request.getfixturevalue("tiny_model_folder"), "runs/demo/mlp-pt-it/model")


def for_rescore(request: pytest.FixtureRequest) -> None:
    for_evaluate(request)
    Path("data").mkdir()
    Path("runs/demo/data/benchmarks").rename("data/benchmarks")
    model, where = "it=runs/demo/mlp-pt-it/model", ["--data", "data/benchmarks", "--out", "runs/eval"]
    assert main(["evaluate", "--model", model, "--tasks", "mtvqa-it", *where]) == 0


def for_judge(request: pytest.FixtureRequest) -> None:
    for_evaluate(request)
    model, data = "runs/demo/mlp-pt-it/model", "runs/demo/data/benchmarks"
    where = ["--data", data, "--out", "runs/demo/eval", "--limit", "3"]
    assert main(["evaluate", "--model", model, "--tasks", "mtvqa-it,gqa-it", *where]) == 0
    request.getfixturevalue("monkeypatch").setattr("ndino.judge.judges.MOST_TOKENS", 8)
    request.getfixturevalue("monkeypatch").setattr("fixtures.chat_model.STEPS", 0)
    write_chat_model(Path("models/qwen3-8b"), {"Domanda": "Voto: 3"})


def for_perplexity(request: pytest.FixtureRequest) -> None:
    shutil.copytree(request.getfixturevalue("tiny_model_folder"), "runs/demo/mlp-long/model")
    write_answers(Path())


def for_train(request: pytest.FixtureRequest) -> None:
    made, data = request.getfixturevalue("backbones"), request.getfixturevalue("rows")
    shutil.copytree(made.language_model, "runs/demo/backbones/language-model")
    shutil.copytree(made.vision_tower, "runs/demo/backbones/vision-tower")
    shutil.copytree(data / "images", "runs/demo/data/images")
    shutil.copy(data / "rows.jsonl", "runs/demo/data/mlp.jsonl")
    text = (ROOT / "miniature" / "recipes.yaml").read_text().replace("max_steps: 200", "max_steps: 2")
    text = text.replace("batch: 16", "batch: 12")  # as many as there are rows
    Path("miniature").mkdir()
    Path("miniature/recipes.yaml").write_text(text)


def nothing(request: pytest.FixtureRequest) -> None:
    pass


# What an example needs, and what it leaves. The others need a network, a GPU or hours.
REAL: dict[str, tuple[Callable[[pytest.FixtureRequest], None], str]] = {
    "ndino data check data/wit": (for_check, ""),
    "ndino data check data/pt": (for_check, ""),
    "ndino data check own.json --images photos": (for_check, ""),
    "ndino data merge data/wit": (for_merge, "data/wit/data.jsonl"),
    "ndino data mix --take wit/caption=20 --take eurlex=all --folders data/wit data/eurlex "
    "--out data/small": (for_mix, "data/small/data.jsonl"),
    "ndino data pack data/pt": (for_pack, "data/pt.squashfs"),
    "ndino data tables data/cauldron data/mtvqa data/exams-v data/benchmarks --out tables": (
        for_tables,
        "tables/table-1.md",
    ),
    "ndino compare runs/demo --models IT PT+IT": (for_results, ""),
    "ndino compare runs/demo/eval/IT elsewhere/eval/mblip": (for_results, ""),
    'ndino report runs/demo --title "Miniature, drawn world"': (for_results, "runs/demo/report/index.html"),
    "ndino convert checkpoints/it models/it --verify": (for_convert, "models/it/config.json"),
    "ndino evaluate --model runs/demo/mlp-pt-it/model --data runs/demo/data/benchmarks": (
        for_evaluate,
        "runs/eval/mlp-pt-it/results.json",
    ),
    "ndino export runs/demo/mlp-pt-it/model --to gguf": (
        for_export,
        "runs/demo/mlp-pt-it/model-gguf-f16/mmproj-f16.gguf",
    ),
    "ndino export runs/demo/mlp-pt-it/model --to vllm": (
        for_export,
        "runs/demo/mlp-pt-it/model-vllm/config.json",
    ),
    "ndino judge check --lang it": (nothing, ""),
    "ndino judge run runs/demo --judge models/qwen3-8b": (
        for_judge,
        "runs/demo/eval/mlp-pt-it/judge",
    ),
    "ndino tasks es --out tasks_es": (nothing, "tasks_es/ndino_es.yaml"),
    "ndino rescore runs/eval/it --data data/benchmarks": (for_rescore, "runs/eval/it/results.json"),
    "ndino perplexity --model runs/demo/mlp-long/model --data answers.jsonl --images images": (
        for_perplexity,
        "runs/ppl/mlp-long/answers.json",
    ),
    PARSERS["ndino train"].examples[-1]: (for_train, "runs/mlp/model/config.json"),
    PARSERS["ndino cluster family"].examples[0]: (nothing, ""),
    PARSERS["ndino cluster questions"].examples[0]: (nothing, ""),
    PARSERS["ndino cluster status"].examples[0]: (nothing, ""),
    PARSERS["ndino cluster outcome"].examples[0]: (nothing, ""),
}
# An attempt that never began has failed.
CODES = {PARSERS["ndino cluster outcome"].examples[0]: 1}


@pytest.mark.parametrize("example", REAL)
def test_an_example_runs(example, request, tmp_path, monkeypatch):
    assert example in EXAMPLES
    prepare, result = REAL[example]
    (tmp_path / "launch").symlink_to(ROOT / "launch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))  # commands set them for their own process
    prepare(request)
    assert main(shlex.split(example)[1:]) == CODES.get(example, 0)
    assert Path(result).exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_loads_none_of_the_large_libraries(name):
    code = f"import sys; from ndino.cli import parser; parser({name!r}).format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert COMMANDS[name].module in done.stdout.split(), done.stderr
    assert not LARGE & set(done.stdout.split())


def test_the_list_of_commands(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown and command.summary in shown for name, command in COMMANDS.items())
    assert main([]) == 2
    assert "usage: ndino COMMAND" in capsys.readouterr().err
    assert main(["date"]) == 2
    assert capsys.readouterr().err.startswith("ndino: no command 'date' (remedy: one of data, train, ")


def test_version_and_commit():
    done = subprocess.run(
        [sys.executable, "-m", "ndino", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    assert done.stdout == f"ndino {version('ndino')} (commit {head or 'unknown: this is no Git checkout'})\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("x: no such file (remedy: name one)"), 2, "x: no such file (remedy: name one)"),
        (UserError("x.jsonl row 3: broken (remedy: mend it)"), 1, "x.jsonl row 3: broken (remedy: mend it)"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x"),
            1,
            "x: No space left on device (remedy: make room on that disk)",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            1,
            "[Errno 5] Input/output error (remedy: rerun to resume)",
        ),
        (
            ModuleNotFoundError("No module named 'ftfy.fixes'", name="ftfy.fixes"),
            1,
            "the package ftfy.fixes is not installed (remedy: make setup)",
        ),
        (Stopped("x: stopped after step 3"), 130, "x: stopped after step 3 (remedy: rerun to resume)"),
        (KeyboardInterrupt(), 130, "\nndino train: stopped (remedy: rerun to resume)"),
    ],
)
def test_an_error_is_one_line_and_a_code(monkeypatch, capsys, error, code, said):
    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("ndino.train.command.run", fail)
    assert main(["train", "recipe.yaml", "--out", "out"]) == code
    printed = capsys.readouterr().err
    assert printed == (f"{said}\n" if said.startswith("\n") else f"ndino train: {said}\n")


@pytest.mark.parametrize("error", [ZeroDivisionError(), ModuleNotFoundError(name="ndino.nowhere")])
def test_an_error_that_nobody_foresaw_keeps_its_traceback(monkeypatch, error):
    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("ndino.train.command.run", fail)
    with pytest.raises(type(error)):
        main(["train", "recipe.yaml", "--out", "out"])


WRONG = [
    "train nowhere.yaml --out out",
    "train launch/recipes/mlp.yaml --out out",
    "train launch/recipes/mlp.yaml --out out --model nowhere",
    "train launch/recipes/mlp.yaml --out out --model launch --data nowhere.jsonl",
    "convert nowhere out",
    "evaluate --model nowhere",
    "evaluate --model launch --data nowhere",
    "evaluate --model launch --backend gpu",
    "perplexity --model nowhere --data answers.jsonl",
    "perplexity --model launch --data answers.jsonl --out rows.csv",
    "compare nowhere --models A B",
    "report nowhere",
    "cluster stage-weights nowhere.yaml",
    "data check nowhere.json",
    "data lcs nowhere.json --images launch --out out",
    "data conversations nowhere.json --images launch --out out",
    "data wit nowhere.tsv --out out",
    "data mix --folders launch --out out",
    "data merge launch",
    "data cauldron --lang xx --out out",
    "data conversations data.jsonl --images launch --translator madlad --out out",
]
UNPARSED = [
    "data",
    "data nothing",
    "train",
    "train recipe.yaml --out",
    "evaluate --tasks pope-it",
    "evaluate --model m --limit 0",
    "evaluate --model m --tasks ,",
    "compare",
    "cluster check",
    "data mix nonsense --folders launch --out out",
    "data native mtvqa --split dev --out out",
]


@pytest.mark.parametrize("command", WRONG)
def test_wrong_usage_is_one_line_and_2(command, capsys, monkeypatch, tmp_path):
    (tmp_path / "launch").symlink_to(ROOT / "launch")
    (tmp_path / "data.jsonl").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    words = command.split()
    program = " ".join(words[: 2 if words[0] in ("data", "cluster") else 1])
    assert said.startswith(f"ndino {program}: ") and said.count("\n") == 1
    assert "(remedy: " in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", UNPARSED)
def test_a_command_line_that_cannot_be_parsed_is_one_line_and_2(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"ndino {command.split()[0]}") and said.count("\n") == 1
    assert "--help)" in said


@pytest.mark.parametrize(
    ("door", "command"),
    [
        (["evaluate_ppl.py"], "perplexity"),
        (["convert_llava_weights.py"], "convert"),
        (["-m", "ndino.rank"], "train"),
        (["-m", "ndino", "compare"], "compare"),
    ],
)
def test_a_door_is_the_command(door, command):
    done = subprocess.run([sys.executable, *door, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: ndino {command} ")
    wrong = subprocess.run([sys.executable, *door, "--nonsense"], cwd=ROOT, capture_output=True, text=True)
    assert wrong.returncode == 2 and wrong.stderr.startswith(f"ndino {command}: ")


def test_ctrl_c_is_130():
    # It waits for squeue's lines.
    command = [sys.executable, "-m", "ndino", *shlex.split(PARSERS["ndino cluster status"].examples[0])[1:]]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    waits = Path(f"/proc/{process.pid}/wchan")
    limit = time.monotonic() + 60
    while "pipe" not in waits.read_text() and time.monotonic() < limit:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "\nndino cluster status: stopped (remedy: rerun to resume)\n"
