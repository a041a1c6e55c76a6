"""Which checkpoint a resume may start from, and which are removed when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from ndino.train.callbacks import STOP_SIGNALS, MarkWhole, StopOnSignal
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
from types import SimpleNamespace
from accelerate import Accelerator
from ndino.train.callbacks import STOP_SIGNALS, StopOnSignal

def tell(process):
    for number in STOP_SIGNALS:
        os.kill(process, number)

class Images(torch.utils.data.Dataset):
    def __len__(self): return 8
    def __getitem__(self, index):
        if index == 1:
            tell(os.getpid())
            tell(os.getppid())
        return index

stop = StopOnSignal()
if sys.argv[1] == "listening":
    stop.listen()
else:
    for number in STOP_SIGNALS:
        signal.signal(number, stop._ask)
# Also before PyTorch has prepared the worker.
os.register_at_fork(after_in_child=lambda: tell(os.getpid()))
loader = Accelerator(cpu=True).prepare(torch.utils.data.DataLoader(Images(), num_workers=2))
control = SimpleNamespace(should_training_stop=False)
stop.on_step_end(SimpleNamespace(device="cpu"), None, control)
print(control.should_training_stop, len(list(loader)))
stop.on_step_end(SimpleNamespace(device="cpu"), None, control)
print(control.should_training_stop)
"""


def test_signals_to_all_processes_leave_the_loader_s_workers_alive():
    def run(how: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", WORKERS, how], capture_output=True, text=True)

    assert run("listening").stdout.split() == ["False", "8", "True"]
    assert run("handling").returncode != 0, "PyTorch no longer ends workers on SIGTERM: not needed?"


def test_a_signal_while_listening_is_not_delivered_afterwards():
    stop = StopOnSignal()
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.asked and not signal.sigpending()
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(STOP_SIGNALS)


# Threads that were there before `listen` block nothing, as those of PyTorch, NCCL and tqdm.
THREADS = """
import faulthandler, os, signal, threading, time
from types import SimpleNamespace
from ndino.train.callbacks import StopOnSignal

faulthandler.dump_traceback_later(60, exit=True)
for _ in range(8):
    threading.Thread(target=lambda: [time.sleep(0.0005) for _ in iter(int, 1)], daemon=True).start()
for _ in range(3000):
    stop = StopOnSignal()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        while not stop.asked:
            stop.on_step_end(SimpleNamespace(device="cpu"), None, SimpleNamespace())
print("every signal was seen")
os._exit(0)
"""


def test_a_signal_that_another_thread_takes_is_seen_and_not_waited_for():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("every signal was seen\n", 0), done.stderr[-3000:]


def test_a_whole_checkpoint_can_be_read_by_whom_the_umask_lets_read(tmp_path):
    folder = tmp_path / "checkpoint-2"
    folder.mkdir()
    (folder / "model.safetensors").touch(mode=0o600)
    before = os.umask(0o022)
    try:
        mark_whole(folder)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
