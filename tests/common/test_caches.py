"""Caches of users who cannot write to their home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ndino.common.caches import cache_changes, cache_root, can_write
from tests.surroundings import open_folder, user_without_rights

ROOT = Path(__file__).parents[2]
# A folder cannot be made below a file, whoever asks.
BELOW_A_FILE = "/dev/null/home"


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("home", ["/proc", "/sys"])
def test_a_home_that_only_claims_to_be_writable_is_seen_through(home: str) -> None:
    # Root is told that it may write there.
    assert not can_write(Path(home) / ".cache")


def test_asking_whether_a_folder_can_be_made_leaves_nothing(tmp_path: Path) -> None:
    assert can_write(tmp_path / "a" / "b") and can_write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_home_that_can_be_written_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cache_changes({"HOME": str(tmp_path), "USER": "anna"}) == {}
    assert capsys.readouterr().err == ""


def test_without_a_writable_home_every_cache_goes_to_a_folder_that_is_named_once(
    temporary_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"HOME": BELOW_A_FILE, "USER": "anna"}
    changes = cache_changes(environment)
    root = temporary_folder / f"ndino-cache-{os.getuid()}"
    assert changes == {
        "XDG_CACHE_HOME": str(root),
        "HF_HOME": str(root / "ndino" / "huggingface"),
        "HF_DATASETS_CACHE": str(root / "ndino" / "huggingface" / "datasets"),
        "MPLCONFIGDIR": str(root / "ndino" / "matplotlib"),
        "TRITON_CACHE_DIR": str(root / "ndino" / "triton"),
    }
    assert capsys.readouterr().err == (
        f"ndino: {BELOW_A_FILE}/.cache cannot be written, caches go to {root} "
        "(remedy: set XDG_CACHE_HOME to a folder that can be written)\n"
    )
    assert root.stat().st_mode & 0o777 == 0o700
    assert cache_changes(environment | changes) == {}
    assert capsys.readouterr().err == ""


def test_the_remedy_that_is_named_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = str(tmp_path / "cache")
    changes = cache_changes({"HOME": BELOW_A_FILE, "XDG_CACHE_HOME": cache, "USER": "anna"})
    assert all(value.startswith(cache) for value in changes.values())
    assert capsys.readouterr().err == ""


def test_a_hub_cache_that_can_only_be_read_still_gives_its_models() -> None:
    script = "import json; from ndino.common.caches import cache_changes; print(json.dumps(cache_changes()))"
    with open_folder("home") as home:
        hub, own = home / "shared", home / "own"
        (hub / "hub").mkdir(parents=True)
        (hub / "token").write_text("secret")
        hub.chmod(0o555)
        own.mkdir()
        own.chmod(0o777)
        where = {"HOME": str(home), "XDG_CACHE_HOME": str(own), "HF_HOME": str(hub)}
        done = subprocess.run(
            user_without_rights().command(sys.executable, "-c", script),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **where},
            capture_output=True,
            text=True,
            check=True,
        )
    changes = json.loads(done.stdout)
    assert changes["HF_HUB_CACHE"] == str(hub / "hub")
    assert changes["HF_TOKEN_PATH"] == str(hub / "token")
    assert changes["HF_DATASETS_CACHE"] == str(own / "ndino" / "huggingface" / "datasets")
    assert f"{hub} cannot be written" in done.stderr and "set HF_HOME" in done.stderr


def test_a_user_without_a_name_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_knows(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", nobody_knows)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    changes = cache_changes({"XDG_CACHE_HOME": str(tmp_path)})
    assert changes["USER"] == f"uid{os.getuid()}"
    assert Path(changes["HOME"]) == tmp_path


def test_somebody_elses_folder_is_not_used(temporary_folder: Path) -> None:
    elsewhere = temporary_folder / "elsewhere"
    elsewhere.mkdir()
    (temporary_folder / f"ndino-cache-{os.getuid()}").symlink_to(elsewhere)
    used = Path(cache_changes({"HOME": BELOW_A_FILE, "USER": "anna"})["XDG_CACHE_HOME"])
    assert used.resolve() != elsewhere and used.parent == temporary_folder and can_write(used)


def test_the_mirrors_follow(monkeypatch: pytest.MonkeyPatch, temporary_folder: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", BELOW_A_FILE)
    assert cache_root() == temporary_folder / f"ndino-cache-{os.getuid()}"
    assert os.environ["XDG_CACHE_HOME"] == str(cache_root())
