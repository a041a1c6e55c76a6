"""Trainer callbacks: removing older checkpoints, stopping on a signal, the progress file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from ndino.train.callbacks import STOP_SIGNALS, MarkComplete, StopOnSignal, WriteProgress
from ndino.train.checkpoints import newest_complete_checkpoint
from ndino.train.health.divergence import DivergenceGuard
from ndino.train.health.ranks import any_rank
from tests.train.test_checkpoints import write_checkpoint


@pytest.mark.parametrize("shown_by", ["the loss of the next step", "the end"])
def test_older_checkpoints_are_removed_once_the_new_one_is_known_to_be_good(tmp_path, shown_by):
    for step in (2, 4, 10):
        write_checkpoint(tmp_path, step)
    write_checkpoint(tmp_path, 12, complete=False)
    args = SimpleNamespace(output_dir=str(tmp_path), device=torch.device("cpu"))
    state = SimpleNamespace(global_step=12, max_steps=20, is_world_process_zero=True, log_history=[])
    marks = MarkComplete(keep=2, guard=DivergenceGuard())
    marks.on_save(args, state, None, model=torch.nn.Linear(2, 2))
    marks.on_train_end(args, state, None)  # as after a stop signal
    assert newest_complete_checkpoint(tmp_path).name == "checkpoint-12"
    assert len(list(tmp_path.iterdir())) == 4
    if shown_by == "the end":
        state.max_steps = 12
        marks.on_train_end(args, state, None)
    else:
        marks.on_pre_optimizer_step(args, state, None)
        assert len(list(tmp_path.iterdir())) == 4, "the guard has not seen the step"
        marks.guard.saw([1], torch.tensor(1.0), images=True)
        marks.guard.on_pre_optimizer_step(args, state, None)
        marks.on_pre_optimizer_step(args, state, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-12"]


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
        signal.signal(number, stop._request_stop)
# Also before PyTorch has prepared the worker.
os.register_at_fork(after_in_child=lambda: tell(os.getpid()))
loader = Accelerator(cpu=True).prepare(torch.utils.data.DataLoader(Images(), num_workers=2))
control = SimpleNamespace(should_training_stop=False)
stop.on_step_end(SimpleNamespace(device="cpu"), None, control)
print(control.should_training_stop, len(list(loader)))
stop.on_step_end(SimpleNamespace(device="cpu"), None, control)
print(control.should_training_stop)
"""


def test_a_signal_to_all_processes_does_not_end_the_loader_s_workers():
    def run(how: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", WORKERS, how], capture_output=True, text=True)

    assert run("listening").stdout.split() == ["False", "8", "True"]
    assert run("handling").returncode != 0, "PyTorch no longer ends workers on SIGTERM: not needed?"


def test_a_signal_while_listening_is_not_delivered_afterwards():
    stop = StopOnSignal()
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.stop_requested and not signal.sigpending()
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(STOP_SIGNALS)


# Threads that run before `listen` do not block the signals; PyTorch, NCCL and tqdm start such threads.
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
        while not stop.stop_requested:
            stop.on_step_end(SimpleNamespace(device="cpu"), None, SimpleNamespace())
print("every signal was seen", flush=True)
os._exit(0)
"""


def test_a_signal_taken_by_another_thread_is_seen_and_not_waited_for():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("every signal was seen\n", 0), done.stderr[-3000:]


def test_control_c_stops_after_the_step_and_a_second_one_at_once(capsys):
    before = signal.getsignal(signal.SIGINT)
    stop = StopOnSignal()
    control = SimpleNamespace(should_training_stop=False)
    with stop.listening():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        for _ in range(2):  # an attempt that diverged and was begun anew
            stop.on_train_begin(None, None, None)
        os.kill(os.getpid(), signal.SIGINT)
        stop.on_step_end(SimpleNamespace(device="cpu"), None, control)
        assert control.should_save and control.should_training_stop
        assert "stopping after this step" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is before


def test_progress_has_step_loss_and_speed_since_the_resume(tmp_path):
    progress = WriteProgress()
    args = SimpleNamespace(output_dir=str(tmp_path))
    state = SimpleNamespace(global_step=4, max_steps=10, is_world_process_zero=True)
    state.log_history = [{"step": 6, "loss": 1.5}, {"step": 6, "eval_loss": 2.5}, {"train_runtime": 3.0}]
    progress.on_train_begin(args, state, None)
    progress.on_log(args, state, None, logs={"train_runtime": 3.0})
    assert not (tmp_path / "progress.json").exists(), "the closing log has no loss"
    progress.began = (4, progress.began[1] - 3.0)
    state.global_step = 6
    progress.on_log(args, state, None, logs={"loss": 1.5})
    written = json.loads((tmp_path / "progress.json").read_text())
    assert (written["step"], written["of"], written["loss"]) == (6, 10, 1.5)
    assert 1.5 <= written["seconds_per_step"] < 2.5
    assert (written["loss_curve"], written["eval_curve"]) == ([[6, 1.5]], [[6, 2.5]])


def test_without_other_ranks_a_value_is_its_own():
    assert any_rank(True, torch.device("cpu")) and not any_rank(False, torch.device("cpu"))
