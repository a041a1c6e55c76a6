from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ndino.common import files
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


def test_large_weights_are_told_apart_by_size_and_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "WHOLE_FILE_BYTES", 1000)
    monkeypatch.setattr(files, "STEP_BYTES", 100)
    monkeypatch.setattr(files, "PIECE_BYTES", 10)

    def written(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return fingerprint(tmp_path, (name,))

    content = bytes(range(250)) * 8
    variants = [content, content + b"x", b"x" + content[1:], content[:-1] + b"x", bytes(2000)]
    # Wherever a tensor of a step's length has changed, a piece shows it.
    variants += [content[:at] + bytes(100) + content[at + 100 :] for at in range(1, 1900, 50)]
    assert len({written("model.safetensors", variant) for variant in variants}) == len(variants)
    # Between the pieces nothing is read; that is what makes it cheap.
    between = content[:50] + b"x" + content[51:]
    assert written("model.safetensors", content) == written("model.safetensors", between)
    # Data may differ by a letter, so they are read whole.
    assert written("test.parquet", content) != written("test.parquet", between)


def test_keys_tell_everything_apart():
    assert key_of("a", 1, None) == key_of("a", 1, None)
    assert len({key_of("a", 1, None), key_of("a", "1", None), key_of("a1", None), key_of("a", 1, 10)}) == 4
    assert key_of("\ud800") != key_of("\ud801")
