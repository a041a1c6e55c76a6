"""Which checkpoints are complete, and so may be resumed from."""

from __future__ import annotations

import os
from pathlib import Path

from ndino.train.checkpoints import (
    checkpoints_of,
    is_complete,
    mark_complete,
    newest_complete_checkpoint,
    remove_incomplete_checkpoints,
    step_of,
)


def write_checkpoint(out: Path, step: int, *, complete: bool = True) -> Path:
    folder = out / f"checkpoint-{step}"
    (folder / "shards").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "shards" / "0.pt").write_bytes(b"optimiser")
    if complete:
        mark_complete(folder)
    return folder


def test_a_checkpoint_that_lacks_its_mark_a_file_or_a_byte_does_not_count(tmp_path):
    whole = write_checkpoint(tmp_path, 20)
    write_checkpoint(tmp_path, 50, complete=False)
    (write_checkpoint(tmp_path, 40) / "shards" / "0.pt").unlink()
    (write_checkpoint(tmp_path, 100) / "model.safetensors").write_bytes(b"weight")
    write_checkpoint(tmp_path, 9)
    assert newest_complete_checkpoint(tmp_path) == whole
    remove_incomplete_checkpoints(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-20", "checkpoint-9"]
    assert newest_complete_checkpoint(tmp_path / "nowhere") is None


def test_steps_are_numbers_and_other_names_are_no_checkpoints(tmp_path):
    ten = write_checkpoint(tmp_path, 10)
    (tmp_path / "checkpoint-best").mkdir()
    assert checkpoints_of(tmp_path) == {10: ten}
    assert (step_of(ten), step_of(None)) == (10, 0)


def test_a_mark_that_is_not_a_list_of_sizes_does_not_count(tmp_path):
    folder = write_checkpoint(tmp_path, 2)
    for content in ("[1, 2]", "{", ""):
        (folder / "whole.json").write_text(content)
        assert not is_complete(folder)


def test_a_complete_checkpoint_follows_the_umask(tmp_path):
    folder = tmp_path / "checkpoint-2"
    folder.mkdir()
    (folder / "model.safetensors").touch(mode=0o600)
    before = os.umask(0o022)
    try:
        mark_complete(folder)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
