"""Which checkpoints are complete, and so may be resumed from."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from ndino.train.checkpoints import (
    checkpoints_of,
    damaged_files,
    fault_of,
    is_complete,
    mark_complete,
    newest_complete_checkpoint,
    require_one_usable,
    settle_checkpoints,
    step_of,
    unmark,
    written_by,
)
from ndino.train.resuming.distribution import Distribution
from ndino.train.stage import StageError


def write_checkpoint(out: Path, step: int, *, complete: bool = True) -> Path:
    folder = out / f"checkpoint-{step}"
    (folder / "shards").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "shards" / "0.pt").write_bytes(b"optimiser")
    (folder / "trainer_state.json").write_text("{}")
    if complete:
        mark_complete(folder)
    return folder


def state_of(path: Path) -> tuple[int, int, int]:
    """What a change of a file or folder changes; reading it changes the time of access alone."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def test_a_checkpoint_that_lacks_its_mark_a_file_or_a_byte_does_not_count(tmp_path, capsys):
    whole = write_checkpoint(tmp_path, 20)
    write_checkpoint(tmp_path, 50, complete=False)
    (write_checkpoint(tmp_path, 40) / "shards" / "0.pt").unlink()
    (write_checkpoint(tmp_path, 100) / "model.safetensors").write_bytes(b"weight")
    (write_checkpoint(tmp_path, 12) / "trainer_state.json").unlink()
    write_checkpoint(tmp_path, 9)
    unmark(write_checkpoint(tmp_path, 60), "training diverged at step 61")
    assert newest_complete_checkpoint(tmp_path) == whole
    settle_checkpoints(tmp_path)
    # What lost something after it was finished is kept until a newer one is sound.
    kept = ["checkpoint-20", "checkpoint-9", "damaged-checkpoint-100", "damaged-checkpoint-40"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    renamed = "passed over, renamed to damaged-checkpoint"
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/checkpoint-12: has no trainer_state.json: removed",
        f"{tmp_path}/checkpoint-40: has no shards/0.pt: {renamed}-40 (remove it when you do not need it)",
        f"{tmp_path}/checkpoint-50: was not finished (it has no whole.json): removed",
        f"{tmp_path}/checkpoint-60: training diverged at step 61: removed",
        f"{tmp_path}/checkpoint-100: model.safetensors has 6 bytes of 7: {renamed}-100 "
        "(remove it when you do not need it)",
    ]
    settle_checkpoints(tmp_path)
    assert capsys.readouterr().out == ""
    assert newest_complete_checkpoint(tmp_path / "nowhere") is None


def test_a_run_whose_checkpoints_are_all_damaged_is_not_started_over(tmp_path, capsys):
    """A cleaner of old files took a file of each: the weights of days of training are still there."""
    write_checkpoint(tmp_path, 3, complete=False)
    for step in (1, 2):
        (write_checkpoint(tmp_path, step) / "shards" / "0.pt").unlink()
    unmark(write_checkpoint(tmp_path, 5), "training diverged at step 6")
    before = {path: state_of(path) for path in tmp_path.rglob("*")}
    for check in (settle_checkpoints, require_one_usable):
        with pytest.raises(StageError) as caught:
            check(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path}/checkpoint-2: damaged: has no shards/0.pt, and so is every older one (1); training "
            "does not start over by itself (remedy: put a good copy of a checkpoint back under its name in "
            f"{tmp_path}, or give another --out to start over)"
        )
    assert capsys.readouterr().out == "" and before == {path: state_of(path) for path in tmp_path.rglob("*")}
    (tmp_path / "checkpoint-1" / "shards" / "0.pt").write_bytes(b"optimiser")
    (tmp_path / "damaged-checkpoint-2").mkdir()
    settle_checkpoints(tmp_path)
    assert newest_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-1"
    kept = ["checkpoint-1", "damaged-checkpoint-2", "damaged-checkpoint-2-2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


@pytest.mark.parametrize("made", [("model", "manifest.json"), ("upstream",)])
def test_a_run_that_is_trained_needs_no_checkpoint(tmp_path, made):
    (write_checkpoint(tmp_path, 1) / "shards" / "0.pt").unlink()
    for name in made:
        (tmp_path / name).mkdir()
    require_one_usable(tmp_path)
    settle_checkpoints(tmp_path)


def test_a_run_without_a_finished_checkpoint_starts_over(tmp_path, capsys):
    for step in (2, 4):
        write_checkpoint(tmp_path, step, complete=False)
    unmark(write_checkpoint(tmp_path, 1), "training diverged at step 2")
    require_one_usable(tmp_path)
    settle_checkpoints(tmp_path)
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path}: no other checkpoint: starting over"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["damaged-checkpoint-2", "damaged-checkpoint-4"]
    settle_checkpoints(tmp_path)


def test_a_list_without_the_trainer_s_state_is_not_whole(tmp_path):
    folder = write_checkpoint(tmp_path, 2)
    (folder / "trainer_state.json").unlink()
    mark_complete(folder)
    assert fault_of(folder) == "has no trainer_state.json"
    (folder / "trainer_state.json").write_text("{}")
    assert fault_of(folder) == "trainer_state.json is not among the files of its whole.json"


@pytest.mark.parametrize("name", ["model.safetensors", "shards/0.pt"])
@pytest.mark.parametrize("content", [b"\0" * 9, b"optimizer"])
def test_a_checkpoint_whose_content_changed_is_passed_over_and_kept_aside(tmp_path, capsys, name, content):
    older, newer = write_checkpoint(tmp_path, 2), write_checkpoint(tmp_path, 4)
    size = (newer / name).stat().st_size
    (newer / name).write_bytes(content[:size])
    settle_checkpoints(tmp_path)
    assert newest_complete_checkpoint(tmp_path) == older
    said = capsys.readouterr().out
    assert f"checkpoint-4: its content is not what was written ({name}): passed over" in said
    assert "resuming" not in said, "the engine says so, once"
    assert (tmp_path / "damaged-checkpoint-4" / name).exists()
    # A rerun has nothing more to say; without a sound one, it is refused.
    settle_checkpoints(tmp_path)
    assert capsys.readouterr().out == ""
    (older / name).write_bytes(content[:size])
    with pytest.raises(StageError, match=r"checkpoint-2: damaged: .* \(remedy: put a good copy"):
        settle_checkpoints(tmp_path)
    assert older.exists()


def test_a_list_of_an_earlier_version_holds_sizes_alone(tmp_path):
    folder = write_checkpoint(tmp_path, 2)
    (folder / "rng_state.pth").write_bytes(b"random")
    sizes = {"model.safetensors": 7, "shards/0.pt": 9, "rng_state.pth": 6, "trainer_state.json": 2}
    (folder / "whole.json").write_text(json.dumps(sizes))
    assert is_complete(folder) and damaged_files(folder) == []
    assert written_by(folder) == Distribution("single", 1)
    (folder / "whole.json").write_text(json.dumps(sizes | {"rng_state.pth": 5}))
    assert not is_complete(folder)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["optimizer.pt", "rng_state.pth"], Distribution("single", 1)),
        (["optimizer.pt", "rng_state_0.pth", "rng_state_1.pth"], Distribution("ddp", 2)),
        (
            ["pytorch_model_fsdp_0/__0_0.distcp", "rng_state_0.pth", "rng_state_1.pth"],
            Distribution("fsdp2", 2),
        ),
        (
            ["global_step4/mp_rank_00_model_states.pt"]
            + [f"global_step4/bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in range(3)],
            Distribution("zero2", 3),
        ),
        (
            [
                f"global_step4/zero_pp_rank_{rank}_mp_rank_00_{part}_states.pt"
                for rank in range(2)
                for part in ("model", "optim")
            ],
            Distribution("zero3", 2),
        ),
    ],
)
def test_a_checkpoint_records_how_the_model_was_shared(tmp_path, files, expected):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    mark_complete(tmp_path)
    assert written_by(tmp_path) == expected
    assert json.loads((tmp_path / "whole.json").read_text())["written_by"] == dataclasses.asdict(expected)


def test_steps_are_numbers_and_other_names_are_no_checkpoints(tmp_path):
    ten = write_checkpoint(tmp_path, 10)
    (tmp_path / "checkpoint-best").mkdir()
    assert checkpoints_of(tmp_path) == {10: ten}
    assert (step_of(ten), step_of(None)) == (10, 0)


def test_a_mark_that_is_not_a_list_of_sizes_does_not_count(tmp_path):
    folder = write_checkpoint(tmp_path, 2)
    for content in ("[1, 2]", "{", "", '{"files": {"model.safetensors": 7}}', '{"files": 1}'):
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
