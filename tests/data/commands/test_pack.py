"""Packing a data set into one SquashFS file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ndino.data.commands.pack import pack
from ndino.data.framework.shards import DataError
from tests.commands import data as main
from tests.data.framework import toy

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("mksquashfs") is None, reason="squashfs-tools is not installed"),
]


def test_the_file_holds_the_data_set_and_nothing_else(finished, tmp_path, capsys):
    (finished / "memory.sqlite").write_bytes(b"the translation memory")
    assert main(["pack", str(finished)]) == 0
    said = capsys.readouterr().out
    packed = tmp_path / "toy.squashfs"
    assert str(packed) in said and "squashfuse" in said
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-d", tmp_path / "back", packed], check=True)
    assert toy.files_below(tmp_path / "back") == toy.files_below(finished)
    assert {path.name for path in (tmp_path / "back").iterdir()} == {
        "data.jsonl",
        "images",
        "manifest.json",
        "README.md",
        "rejects.jsonl",
    }
    assert main(["check", str(tmp_path / "back"), "--workers", "1"]) == 0


def test_equal_folders_give_equal_files_also_after_a_kill(finished, tmp_path):
    pack(finished, tmp_path / "one.squashfs")
    (tmp_path / "two.squashfs.part").write_bytes(b"left by a killed start")
    os.utime(finished / "data.jsonl", (1, 1))
    pack(finished, tmp_path / "two.squashfs")
    assert (tmp_path / "one.squashfs").read_bytes() == (tmp_path / "two.squashfs").read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_faults_are_reported_and_the_old_file_kept(finished, tmp_path, monkeypatch):
    out = tmp_path / "toy.squashfs"
    out.write_bytes(b"old")
    program = shutil.which("mksquashfs")
    (finished / "data.jsonl").write_bytes(b"{}\n")
    with pytest.raises(DataError, match=r"does not match manifest\.json"):
        pack(finished, out)
    with pytest.raises(DataError, match="name a data folder"):
        pack(tmp_path, out)
    for name in ("manifest.json", "rejects.jsonl"):
        (finished / name).unlink()
    shutil.rmtree(finished / "shards")
    broken = tmp_path / "bin" / "mksquashfs"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'FATAL ERROR: no space left' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)
    with pytest.raises(DataError, match=r"mksquashfs: FATAL ERROR: no space left \(remedy"):
        pack(finished, out)
    forgetful = f'exec {program} README.md "{tmp_path}/toy.squashfs.part" -quiet -no-progress >/dev/null'
    broken.write_text(f"#!/bin/sh\n{forgetful}\n")
    with pytest.raises(DataError, match=r"data\.jsonl is missing in it"):
        pack(finished, out)
    assert out.read_bytes() == b"old"
    monkeypatch.setenv("PATH", str(Path("/nowhere")))
    with pytest.raises(DataError, match="apt-get install squashfs-tools"):
        pack(finished, out)
