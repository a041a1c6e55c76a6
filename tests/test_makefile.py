"""The front door: what the Makefile lists, asks for and passes on."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ndino.cli import parser

ROOT = Path(__file__).parents[1]
# `make test` hands its own flags and variables down to every make below it; these tests start from none.
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )


def passed_on(*arguments: str) -> list[str]:
    """The command line that a target would run, less the interpreter."""
    lines = make("--dry-run", *arguments).stdout.replace("\\\n", " ").splitlines()
    return shlex.split(lines[-1])[1:]


def test_make_alone_lists_every_public_target_in_a_line():
    listed = dict(re.findall(r"^make ([\w-]+) +(\S.*)$", make().stdout, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1).split()
    assert set(listed) == set(phony) - {"debian-packages"}
    assert len(make().stdout.splitlines()) == len(listed)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["eval"], "MODEL"),
        (["ppl"], "MODEL"),
        (["ppl", "MODEL=x"], "DATA"),
        (["compare"], "MODELS"),
        (["judge"], "JUDGE"),
    ],
)
def test_a_missing_variable_is_one_line_with_an_example_before_any_work(arguments, missing):
    done = make(*arguments)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"{missing} is missing (remedy: make {arguments[0]} " in done.stderr


def test_eval_passes_on_what_it_is_told():
    command = passed_on(
        "eval", "MODEL=my model", "TASKS=pope-it", "DATA=d", "LIMIT=3", "BATCH=2", "OUT=o", "SHUFFLE=3"
    )
    assert command[:3] == ["-m", "ndino", "evaluate"]
    options = parser("evaluate").parse_args(command[3:])
    assert (options.model, options.tasks, options.data) == (["my model"], ["pope-it"], Path("d"))
    assert (options.limit, options.batch, options.out, options.shuffle) == (3, 2, Path("o"), 3)
    for given, asked in (("SHUFFLE=1", (1, False)), ("SHUFFLE=0", (0, False)), ("BLANK=1", (0, True))):
        options = parser("evaluate").parse_args(passed_on("eval", "MODEL=m", given)[3:])
        assert (options.shuffle, options.blank) == asked


def test_a_language_is_taken_from_makes_command_line_and_not_from_gettexts_variable(monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "LANGUAGE", "en_US:en")
    assert parser("evaluate").parse_args(passed_on("eval", "MODEL=m")[3:]).lang is None
    given = passed_on("eval", "MODEL=m", "LANGUAGE=es")
    assert parser("evaluate").parse_args(given[3:]).lang == ["es"]


def test_eval_on_several_gpus_is_launched_by_accelerate():
    command = passed_on("eval", "MODEL=m", "GPUS=4")
    assert command[:2] == ["-m", "accelerate.commands.launch"]
    assert command[command.index("--num_processes") + 1] == "4"
    assert command[-5:] == ["-m", "ndino", "evaluate", "--model", "m"]
    assert passed_on("eval", "MODEL=m", "GPUS=1")[:3] == ["-m", "ndino", "evaluate"]


def test_judge_passes_on_what_it_is_told():
    command = passed_on("judge", "JUDGE=http://h/v1#a b", "RUN=my runs", "MODELS=IT,PT+IT", "TASKS=gqa-it")
    assert command[:3] == ["-m", "ndino", "judge"]
    options = parser("judge").parse_args(command[3:])
    assert (options.judge, options.folder) == ("http://h/v1#a b", Path("my runs"))
    assert (options.models, options.tasks) == (["IT", "PT+IT"], ["gqa-it"])
    assert parser("judge").parse_args(passed_on("judge", "JUDGE=m")[3:]).folder == Path("runs/demo")


def test_ppl_passes_on_what_it_is_told():
    command = passed_on(
        "ppl", "MODEL=m", "DATA=d", "IMAGES=i", "SPLIT=s", "ANSWER=a", "QUESTION=q", "LIMIT=3", "OUT=o"
    )
    assert command[:3] == ["-m", "ndino", "perplexity"]
    options = parser("perplexity").parse_args(command[3:])
    assert (options.model, options.data, options.images, options.split) == ("m", "d", Path("i"), "s")
    assert (options.answer_field, options.question_field, options.limit, options.out) == (
        "a",
        "q",
        3,
        Path("o"),
    )
    assert not options.shuffle


def test_chat_passes_on_what_it_is_told():
    command = passed_on("chat", "MODELS=IT=a/model b", "LANGUAGE=es", "DATA=my data", "PORT=8000")
    assert command[:3] == ["-m", "ndino", "chat"]
    options = parser("chat").parse_args(command[3:])
    assert (options.models, options.lang, options.data) == (["IT=a/model", "b"], "es", Path("my data"))
    assert options.port == 8000 and parser("chat").parse_args(passed_on("chat")[3:]).models == []


@pytest.mark.parametrize(("arguments", "code"), [(["compare", "MODELS=IT PT+IT"], 2), (["report"], 1)])
def test_results_commands_are_understood(tmp_path, arguments, code):
    command = passed_on(*arguments, f"RUN={tmp_path}")
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert str(tmp_path) in done.stderr and "usage:" not in done.stderr


def test_demo_passes_on_what_it_is_told():
    command = passed_on("demo", "FAST=1", "WORLD=stamps", "SEED=3")
    assert command == ["-m", "miniature.demo", "--world", "stamps", "--fast", "--seed", "3"]
    assert passed_on("demo") == ["-m", "miniature.demo", "--world", "drawn"]


def test_data_demo_passes_on_what_it_is_told():
    assert passed_on("data-demo", "OUT=x", "SEED=3") == [
        "-m",
        "miniature.data_demo",
        "--out",
        "x",
        "--seed",
        "3",
    ]
    assert passed_on("data-demo") == ["-m", "miniature.data_demo"]


def test_setup_writes_the_tasks_of_other_languages_than_italian():
    for given in ("it es ca", "it,es,ca", "ca es es"):
        loop = make("--dry-run", "setup", f"LANGUAGES={given}").stdout
        assert (
            "for code in ca es; do" in loop
            and '-m ndino tasks "$code" --out "third_party/tasks/$code"' in loop
        )
    assert "for code in ; do" in make("--dry-run", "setup", "LANGUAGES=it").stdout


def test_only_setup_itself_asks_again_for_what_was_out_of_reach():
    asks = "-m ndino.upstream setup --retry"
    assert asks in make("--dry-run", "setup").stdout
    assert asks not in make("--dry-run", "demo").stdout
    assert "-m ndino.upstream setup" in make("--dry-run", "demo").stdout


@pytest.mark.parametrize("interpreter", ["no-such-python", "false"])
def test_an_unfit_interpreter_is_refused_with_the_remedy(tmp_path, interpreter):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = ["make", "setup", f"PYTHON={interpreter}"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"'{interpreter}' is not Python 3.10, 3.11 or 3.12 (remedy: make setup PYTHON=" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("environment", "pins"),
    [
        (".venv", ("pyproject.toml", "constraints.txt")),
        (".venv-llava", ("requirements-llava.txt", "constraints-llava.txt")),
    ],
)
def test_setup_installs_again_when_pins_changed_whatever_the_files_times_say(tmp_path, environment, pins):
    for name in ("Makefile", "pyproject.toml", "constraints.txt", *pins):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "third_party" / "LLaVA-NeXT").mkdir(parents=True)
    interpreters = [tmp_path / name / "bin" / "python" for name in (".venv", ".venv-llava")]
    for path in interpreters:
        path.parent.mkdir(parents=True)
        path.symlink_to("/bin/true")

    def installed() -> bool:
        command = ["make", "setup", "PYTHON=true"]
        done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
        assert not done.stderr
        what = {".venv": "the other packages", ".venv-llava": "the packages of the upstream trainer"}
        return f"Installing {what[environment]} ..." in done.stdout

    assert installed() and not installed()
    for name in pins:
        os.utime(tmp_path / name)  # newer, and the same
        assert not installed()
        with (tmp_path / name).open("a") as file:
            file.write("# added==1.0\n")
        os.utime(tmp_path / name, (0, 0))
        for path in interpreters:
            path.unlink()
            path.symlink_to("/bin/false")
        command = ["make", "setup", "PYTHON=true"]
        assert subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True).returncode != 0
        for path in interpreters:
            path.unlink()
            path.symlink_to("/bin/true")
        assert installed() and not installed()


def test_constraints_pin_exactly_and_send_no_cpu_machine_to_cuda():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.match(r"[a-z0-9.-]+==[^ ]+( ; .+)?$", line) for line in lines)
    assert not [line for line in lines if re.match("nvidia|cuda|triton", line)]
    torch = re.search(r"^TORCH +:= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    assert torch in lines
