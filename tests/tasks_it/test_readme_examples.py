"""What the pages tell people to type, on what the demo leaves, with a tiny model in place of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from miniature.demo import model_folders
from miniature.steps import make_world
from ndino.cli import main, parser
from ndino.formats.family import load_family
from tests.test_makefile import ROOT, passed_on

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("tasks_it/*/README.md"))]
TASK_PAGES = PAGES[1:]
LIMIT = ("--limit", "2")


def lines_of(page: Path) -> list[str]:
    """The page's ``make eval`` and ``make ppl`` lines without their comments."""
    found = re.findall(r"^make (?:eval|ppl) .*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"\s+#.*", "", line) for line in found]


LINES = [(page, line) for page in PAGES for line in lines_of(page)]
IDS = [f"{page.parent.name}: {line}" for page, line in LINES]


def command_of(line: str) -> tuple[str, list[str]]:
    """What make would run: the command of `ndino` and its arguments."""
    program, *arguments = (part for part in passed_on(*shlex.split(line)[1:]) if part not in ("-m", "ndino"))
    return program, arguments


def tasks_in(folder: Path) -> set[str]:
    """The tasks and groups that YAMLs in a folder and below define."""
    text = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.yaml"))
    return set(re.findall(r"^(?:task|group): (\S+)$", text, re.MULTILINE))


@pytest.fixture(scope="module")
def demo(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make demo`` writes, as far as these lines go."""
    out = tmp_path_factory.mktemp("demo")
    make_world(print, out / "data", "drawn", "it", 42, True)
    for model in model_folders(load_family(ROOT / "launch/recipes/family.yaml"), out).values():
        shutil.copytree(tiny_model_folder, model)
    return out


@pytest.mark.parametrize(("page", "line"), LINES, ids=IDS)
def test_a_line_names_tasks_that_there_are(page, line):
    program, arguments = command_of(line)
    options = parser(program).parse_args(arguments)
    if program == "evaluate":
        folder = page.parent if page in TASK_PAGES else ROOT / "tasks_it"
        assert {*(options.tasks or ["ndino-it"])} <= tasks_in(folder)


@pytest.mark.parametrize("page", TASK_PAGES, ids=lambda page: page.parent.name)
def test_every_task_has_a_line_on_local_data_and_one_on_the_hubs_models(page):
    lines = lines_of(page)
    assert any("DATA=runs/demo/" in line for line in lines)
    assert any("MODEL=swap-uniba/" in line for line in lines)
    row = re.search(r"^\| Task \| (.*) \|$", page.read_text(encoding="utf-8"), re.MULTILINE).group(1)
    assert set(re.findall("`(.*?)`", row)) == tasks_in(page.parent) - {"pope_full-it"}


@pytest.mark.parametrize(
    "line", sorted({line for _, line in LINES if "DATA=runs/demo/" in line}), ids=lambda line: line[5:]
)
def test_a_line_on_local_data_runs(demo, line, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "demo").symlink_to(demo)
    monkeypatch.chdir(tmp_path)
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))  # the commands set them for their own process
    program, arguments = command_of(line)
    assert main([program, *arguments, *LIMIT]) == 0
    kept = "eval/*/results.json" if program == "evaluate" else "ppl/*/WILD_IT.json"
    assert [path.parent.name for path in Path("runs").glob(kept)] == [arguments[1].split("/")[2]]
