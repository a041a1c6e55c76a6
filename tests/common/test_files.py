from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ndino.common import files
from ndino.common.errors import reason_of
from ndino.common.files import (
    WEIGHTS,
    atomic_file,
    atomic_folder,
    fingerprint,
    key_of,
    write_json,
    write_text,
)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_text_and_json_are_written_into_folders_that_are_made(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "è\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "è\n".encode()
    write_json(tmp_path / "a" / "c.json", {"è": [1, None]})
    assert json.loads((tmp_path / "a" / "c.json").read_bytes()) == {"è": [1, None]}
    assert "è" in (tmp_path / "a" / "c.json").read_text(encoding="utf-8")
    assert names(tmp_path / "a") == {"b.txt", "c.json"}


def test_a_lone_surrogate_is_an_error_or_a_question_mark(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "before" and names(tmp_path) == {"a.txt"}
    write_text(path, "\ud800", errors="replace")
    assert path.read_text() == "?"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(OSError, match="No space left"), atomic_file(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "before"
        raise OSError(28, "No space left on device")
    assert path.read_text() == "before" and names(tmp_path) == {"a.txt"}
    # Whoever reads meanwhile has the old file whole.
    with path.open() as reader:
        write_text(path, "after")
        assert reader.read() == "before"
    assert path.read_text() == "after"


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "runs" / "model"
    with atomic_folder(folder) as made:
        (made / "old").touch()
        assert not folder.exists()
    with pytest.raises(KeyboardInterrupt), atomic_folder(folder) as made:
        (made / "half").touch()
        raise KeyboardInterrupt
    assert names(folder) == {"old"}
    with atomic_folder(folder) as made:
        assert names(made) == set()
        (made / "new").touch()
    assert names(folder) == {"new"} and names(folder.parent) == {"model"}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o027, 0o640), (0o077, 0o600)])
def test_the_files_of_a_folder_follow_the_umask_whatever_their_writer_thinks(tmp_path, umask, mode):
    (tmp_path / "other.bin").write_bytes(b"")
    (tmp_path / "other.bin").chmod(0o600)
    before = os.umask(umask)
    try:
        with atomic_folder(tmp_path / "model") as folder:
            save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
            (folder / "deep").mkdir()
            (folder / "deep" / "run.sh").write_text("#!/bin/sh\n")
            (folder / "deep" / "run.sh").chmod(0o700)
            (folder / "link").symlink_to(tmp_path / "other.bin")
            (folder / "same.bin").hardlink_to(tmp_path / "other.bin")
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "model").rglob("*")}
    assert found["model.safetensors"] == mode
    assert found["run.sh"] == found["deep"] == 0o777 & ~umask
    assert found["link"] == found["same.bin"] == 0o600  # of a file that is not ours
    assert set(found) == {"model.safetensors", "deep", "run.sh", "link", "same.bin"}


def test_the_sum_is_the_one_that_other_programs_compute(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BLOCK_BYTES", 3)
    (tmp_path / "a").write_bytes(b"0123456789")
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(b"0123456789").hexdigest()


def test_a_fingerprint_is_of_names_and_contents_that_match(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    first = fingerprint(tmp_path, WEIGHTS)
    assert len(first) == 32
    (tmp_path / "config.json").write_text("{1}")
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1" / "model.safetensors").write_bytes(b"older")
    (tmp_path / "model.safetensors").touch()
    assert fingerprint(tmp_path, WEIGHTS) == first
    assert fingerprint(tmp_path, ("**/*.safetensors",)) != first
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    renamed = fingerprint(tmp_path, WEIGHTS)
    (tmp_path / "other.safetensors").write_bytes(b"Weights")
    assert len({first, renamed, fingerprint(tmp_path, WEIGHTS)}) == 3


@pytest.fixture
def remembering(tmp_path, monkeypatch) -> Path:
    """Every file counts as large; returns the folder of remembered digests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "REMEMBERED_BYTES", 10)
    monkeypatch.setattr(files, "SETTLED_NANOSECONDS", -1)
    return tmp_path / "cache" / "ndino" / "digests"


def test_a_large_file_is_read_once_until_it_changes(tmp_path, monkeypatch, remembering):
    reads = []
    monkeypatch.setattr(
        files, "sha256_of", lambda path, real=files.sha256_of: reads.append(path) or real(path)
    )
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(1000))
    digests = [files.digest_of(path), files.digest_of(path)]
    assert len(reads) == 1 and digests[0] == digests[1] == hashlib.sha256(bytes(1000)).hexdigest()
    # One byte, under the same name, size and time of writing.
    written = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.seek(500)
        file.write(b"x")
    os.utime(path, ns=(written, written))
    assert files.digest_of(path) != digests[0] and len(reads) == 2
    (tmp_path / "link").symlink_to(path)
    assert files.digest_of(tmp_path / "link") == files.digest_of(path) and len(reads) == 2
    for remembered in remembering.iterdir():
        remembered.write_bytes(b"\xff torn")
    assert files.digest_of(path) == files.digest_of(tmp_path / "link") and len(reads) == 3


def test_a_file_that_may_still_change_is_not_remembered(tmp_path, monkeypatch, remembering):
    monkeypatch.setattr(files, "SETTLED_NANOSECONDS", 60 * 10**9)
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    files.digest_of(tmp_path / "model.safetensors")
    assert not remembering.exists()


def test_links_are_followed_and_hidden_files_are_none(tmp_path):
    (tmp_path / "disk" / "more").mkdir(parents=True)
    (tmp_path / "disk" / "more" / "1.png").touch()
    (tmp_path / "disk" / "back").symlink_to(tmp_path / "disk")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "images").symlink_to(tmp_path / "disk")
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "test.jsonl").symlink_to(tmp_path / "disk" / "more" / "1.png")
    (folder / "._test.jsonl").touch()
    (folder / ".cache").mkdir()
    (folder / ".cache" / "a").touch()
    found = [str(path.relative_to(folder)) for path in files.files_below(folder)]
    assert found == ["images/more/1.png", "test.jsonl"]


def test_keys_tell_everything_apart():
    assert key_of("a", 1, None) == key_of("a", 1, None)
    assert len({key_of("a", 1, None), key_of("a", "1", None), key_of("a1", None), key_of("a", 1, 10)}) == 4
    assert key_of("\ud800") != key_of("\ud801")


def test_a_file_that_cannot_be_written_is_named_without_its_temporary_name(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "a.txt", "a")
    assert "a.txt" in reason_of(caught.value) and ".tmp" not in str(caught.value)
