"""The runner for a bare Debian, short of making one; .ci/run does that with the whole suite."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = (".ci/run", "tests/debian_root.sh", "tests/bare/run.sh", "tests/singularity/build.sh")


def without_root(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    """Run a command as a user who is not root and may still read what this one may."""
    prefix = [] if os.geteuid() else ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    # `make test` would tell a make below it to say which folder it enters.
    outside_make = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run([*prefix, *command], env=outside_make, capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    ("script", "target"), [("tests/bare/run.sh", "test-bare"), ("tests/singularity/build.sh", "test-image")]
)
def test_without_root_it_says_at_once_what_it_needs(script, target):
    done = without_root(ROOT / script)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert (
        done.stderr.startswith(f"{target}: needs root, ") and f"(remedy: sudo make {target})" in done.stderr
    )


@pytest.mark.parametrize(
    ("images", "last"),
    [
        (["llava_next"], "which llava_next is made of (remedy: make setup LLAVA_NEXT_URL=<mirror or clone>)"),
        (["nowhere"], "nowhere: no such definition (remedy: native or llava_next)"),
    ],
)
def test_an_image_that_cannot_be_built_is_told_at_once(tmp_path, images, last):
    shutil.copytree(ROOT / "singularity", tmp_path / "singularity")
    for name in SCRIPTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    pins = (ROOT / "upstream.toml").read_text()
    (tmp_path / "upstream.toml").write_text(
        re.sub('^url = ".*"', 'url = "/nowhere"', pins, flags=re.MULTILINE)
    )
    prefix = ["unshare", "--user", "--map-root-user"] if os.geteuid() else []
    done = subprocess.run(
        [*prefix, tmp_path / "tests/singularity/build.sh", *images],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("test-image: ") and done.stderr.endswith(f"{last}\n")
    assert not (tmp_path / "cache").exists()


def test_ci_runs_make_test_here_where_it_cannot_be_run_on_a_bare_machine(tmp_path):
    for name in SCRIPTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "Makefile").write_text("test:\n\t@echo 1 passed; exit 3\n")
    done = without_root(".ci/run", cwd=tmp_path)
    reason, last = done.stdout.splitlines()
    assert reason.startswith("ci: make test runs on this machine, not on a bare one: test-bare: needs root, ")
    assert (last, done.returncode) == ("1 passed", 2), done.stderr  # make's own status


def test_pip_looks_inside_where_it_looks_outside(tmp_path):
    index, wheels = tmp_path / "index" / "simple", tmp_path / "wheels"
    index.mkdir(parents=True)
    wheels.mkdir()
    (tmp_path / "pip.conf").write_text(
        f"[global]\nfind-links = {tmp_path / 'nowhere'}\n"
        f"extra-index-url =\n    file://{index}\n    https://packages.example/simple\nno-color = true\n"
    )
    command = '. tests/debian_root.sh; pip_settings >"$1"; pip_folders "$1"'
    done = subprocess.run(
        ["bash", "-euc", command, "bash", tmp_path / "inside.conf"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
            "PIP_FIND_LINKS": str(wheels),
        }
        | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (tmp_path / "inside.conf").read_text().splitlines()
    assert lines[0] == "[global]"
    assert f"find-links = {wheels}" in lines and not [line for line in lines if "nowhere" in line]
    assert f"extra-index-url = file://{index} https://packages.example/simple" in [
        " ".join(line.split()) for line in lines
    ]
    assert {str(index.parent), str(wheels)} <= set(done.stdout.split())


@pytest.mark.system
def test_shellcheck_finds_nothing():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "-x", *SCRIPTS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
