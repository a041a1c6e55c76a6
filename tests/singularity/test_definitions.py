"""The images' definitions, judged without building them; `make test-image` builds them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEFINITIONS = sorted((ROOT / "singularity").glob("*.def"))
# Apptainer refuses a definition with a section that it does not know.
SECTIONS = {
    "arguments",
    "setup",
    "files",
    "post",
    "environment",
    "startscript",
    "runscript",
    "test",
    "labels",
    "help",
}
SCRIPTS = ("post", "environment", "runscript", "test")


def sections(definition: Path) -> dict[str, str]:
    """The text of each section; the header under ``header``."""
    found, name = {"header": []}, "header"
    for line in definition.read_text(encoding="utf-8").splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
            assert name not in found, f"{definition.name}: %{name} twice"
            found[name] = []
        else:
            found[name].append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def arguments(definition: Path) -> dict[str, str]:
    lines = [line.strip() for line in sections(definition)["arguments"].splitlines()]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def filled(definition: Path, section: str) -> str:
    """A section's text with the default values of the arguments."""
    values = arguments(definition)
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: values[found[1]], sections(definition)[section])


@pytest.fixture(params=DEFINITIONS, ids=lambda path: path.stem)
def definition(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_there_are_two() -> None:
    assert [path.stem for path in DEFINITIONS] == ["llava_next", "native"]


def test_sections_are_those_that_apptainer_knows(definition: Path) -> None:
    found = sections(definition)
    assert set(found) - {"header"} <= SECTIONS
    assert {"help", "labels", "test", "environment", "runscript"} <= set(found)
    assert found["header"].startswith("Bootstrap: docker\nFrom: {{ BASE }}\n")


def test_every_argument_is_declared_and_used(definition: Path) -> None:
    text = definition.read_text(encoding="utf-8")
    assert set(re.findall(r"\{\{ (\w+) \}\}", text)) == set(arguments(definition))


def test_versions_are_pinned_and_nothing_is_piped_from_the_network(definition: Path) -> None:
    values, post = arguments(definition), sections(definition)["post"]
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-cudnn-devel-ubuntu\d\d\.\d\d", values["BASE"])
    assert "==" in values["FLASH_ATTN"]
    assert not re.search(r"curl|wget|git clone|apt-key|ppa:", post)


def test_files_are_those_of_the_repository(definition: Path) -> None:
    copied = [line.split() for line in sections(definition)["files"].splitlines() if line.strip()]
    for source, target in copied:
        assert (ROOT / source).exists(), source
        assert target == f"/opt/ndino/{source}"


def test_what_the_makefile_needs_inside_is_copied(definition: Path) -> None:
    copied = sections(definition)["files"].split()
    wanted = {
        "llava_next": "requirements-llava.txt constraints-llava.txt",
        "native": "constraints.txt tasks_it",
    }
    assert set(wanted[definition.stem].split()) <= set(copied)
    assert {"Makefile", "pyproject.toml", "upstream.toml", "patches", "overlay", "ndino"} <= set(copied)
    target = re.search(r"make (\.\S+)", sections(definition)["post"])[1]
    dry_run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert dry_run.returncode == 0, dry_run.stderr


@pytest.mark.system
@pytest.mark.parametrize("section", SCRIPTS)
def test_shell_sections_pass_shellcheck(definition: Path, section: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "-"],
        input=filled(definition, section),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
