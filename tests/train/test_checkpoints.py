"""Which checkpoint a resume may start from, and which are removed when."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from ndino.train.callbacks import MarkWhole, protect_workers
from ndino.train.checkpoints import mark_whole, newest_whole_checkpoint, remove_torn_checkpoints


def checkpoint(out: Path, step: int, *, whole: bool = True) -> Path:
    folder = out / f"checkpoint-{step}"
    (folder / "shards").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "shards" / "0.pt").write_bytes(b"optimiser")
    if whole:
        mark_whole(folder)
    return folder


def test_a_checkpoint_without_its_mark_or_a_file_or_a_byte_does_not_count(tmp_path):
    whole = checkpoint(tmp_path, 20)
    checkpoint(tmp_path, 50, whole=False)
    (checkpoint(tmp_path, 40) / "shards" / "0.pt").unlink()
    (checkpoint(tmp_path, 100) / "model.safetensors").write_bytes(b"weight")
    checkpoint(tmp_path, 9)
    assert newest_whole_checkpoint(tmp_path) == whole
    remove_torn_checkpoints(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-20", "checkpoint-9"]
    assert newest_whole_checkpoint(tmp_path / "nowhere") is None


def test_older_ones_go_when_the_new_one_is_whole(tmp_path):
    for step in (2, 4, 10):
        checkpoint(tmp_path, step)
    checkpoint(tmp_path, 12, whole=False)
    args = SimpleNamespace(output_dir=str(tmp_path))
    state = SimpleNamespace(global_step=12, is_world_process_zero=True)
    MarkWhole(keep=2).on_save(args, state, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-12"]
    assert newest_whole_checkpoint(tmp_path).name == "checkpoint-12"


WORKERS = """
import os, signal, sys, torch
from ndino.train.callbacks import StopOnSignal, protect_workers

class Pictures(torch.utils.data.Dataset):
    def __len__(self): return 8
    def __getitem__(self, index):
        if index == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGUSR1)
        return index

stop = StopOnSignal()
stop.listen()
loader = torch.utils.data.DataLoader(Pictures(), num_workers=2)
if sys.argv[1] == "protected":
    protect_workers(loader)
print(len(list(loader)))
"""


def test_signals_to_all_processes_leave_the_loader_s_workers_alive():
    def run(how: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", WORKERS, how], capture_output=True, text=True)

    assert run("protected").stdout == "8\n"
    assert run("bare").returncode != 0, "without protection PyTorch no longer ends workers: not needed?"


def test_the_loader_s_own_preparation_is_kept():
    prepared = []
    loader = SimpleNamespace(worker_init_fn=prepared.append)
    protect_workers(loader)
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    try:
        loader.worker_init_fn(3)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert prepared == [3]
