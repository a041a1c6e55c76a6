"""What both engines' trainers do beside training: stop when they are told to, and say how far they are."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from ndino.files import write_json

# SLURM sends the first ahead of the time limit, where a job asks for it, and the second before preemption.
STOP_SIGNALS = (signal.SIGUSR1, signal.SIGTERM)
PROGRESS = "progress.json"


class StopOnSignal(TrainerCallback):
    """Saves and ends training after the step in which any rank was sent one of `STOP_SIGNALS`."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Wait for the signals from here on; for the main thread."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._ask)
        # A launcher that must outlive the signals has them blocked, and its children inherit that.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """`listen` for a while."""
        before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_step_end(self, args, state, control, **options) -> None:
        # Signals reach ranks at different steps, but all must leave the loop after the same one.
        if any_rank(self.asked, args.device):
            control.should_log = control.should_save = control.should_training_stop = True

    def _ask(self, number: int, frame) -> None:
        self.asked = True


def any_rank(value: bool, device: torch.device) -> bool:
    """Whether ``value`` is true on one rank at least."""
    if not dist.is_initialized():
        return value
    flag = torch.tensor(int(value), device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())


def protect_workers(loader: torch.utils.data.DataLoader) -> None:
    """Let the loader's worker processes ignore `STOP_SIGNALS`, which SLURM sends to every process of a job.

    PyTorch ends a worker on SIGTERM, and the rank with it, before anything is saved.
    """
    loader.worker_init_fn = _Deaf(loader.worker_init_fn)


class _Deaf:
    def __init__(self, prepare) -> None:
        self.prepare = prepare

    def __call__(self, worker: int) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if self.prepare is not None:
            self.prepare(worker)


class WriteProgress(TrainerCallback):
    """Keeps ``progress.json`` at every point of the loss curve: step, of, loss, seconds_per_step, time."""

    def __init__(self) -> None:
        self.began = (0, 0.0)

    def on_train_begin(self, args, state, control, **options) -> None:
        self.began = (state.global_step, time.monotonic())

    def on_log(self, args, state, control, logs=None, **options) -> None:
        if not state.is_world_process_zero or "loss" not in (logs or {}):
            return
        steps = state.global_step - self.began[0]
        write_json(
            Path(args.output_dir) / PROGRESS,
            {
                "step": state.global_step,
                "of": state.max_steps,
                "loss": logs["loss"],
                "seconds_per_step": round((time.monotonic() - self.began[1]) / steps, 3),
                "time": round(time.time()),
            },
        )
