"""What is wrong with a download is named; the real unpacking is tested in worlds/test_stamp_files.py."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from miniature import debian_files
from miniature.debian_files import DebianError, fetch_package, reference_pdf


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """An empty PATH, and a cache folder of the test's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def write_program(path: Path, lines: str) -> None:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_only_wanted_files_are_kept_and_a_rerun_downloads_nothing(programs, tmp_path):
    write_program(programs / "apt-get", f"touch x.deb; echo once >> {tmp_path}/calls")
    write_program(programs / "dpkg", "mkdir -p usr/share; touch usr/share/a.pdf usr/share/a.txt")
    said: list[str] = []
    for _ in range(2):
        folder = fetch_package("a-book", (".pdf",), size="2 MB", say=said.append)
        assert [path.name for path in folder.rglob("*") if path.is_file()] == ["a.pdf"]
    assert (tmp_path / "calls").read_text() == "once\n"
    assert len(said) == 1 and "a-book: downloading from Debian (2 MB)" in said[0]


def test_a_failed_download_gives_the_reason_and_the_remedy(programs, monkeypatch):
    write_program(programs / "dpkg", "exit 0")
    write_program(programs / "apt-get", "echo 'W: old lists' >&2; echo 'E: Unable to locate' >&2; exit 100")
    monkeypatch.setattr(debian_files, "REFERENCE_FOLDER", Path("/usr/share/nowhere"))
    with pytest.raises(DebianError, match=r"debian-reference-es failed: E: Unable.*remedy, as root"):
        reference_pdf("es", lambda line: None)


def test_an_installed_book_is_used(programs, tmp_path, monkeypatch):
    (tmp_path / "debian-reference.es.pdf").write_bytes(b"%PDF")
    monkeypatch.setattr(debian_files, "REFERENCE_FOLDER", tmp_path)
    assert reference_pdf("es") == tmp_path / "debian-reference.es.pdf"
