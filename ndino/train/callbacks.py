"""Trainer callbacks of both engines: complete checkpoints, a clean stop on a signal, a progress file."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainingArguments

from ndino.common.files import write_json
from ndino.train.checkpoints import PROGRESS, checkpoints_of, mark_complete

# SLURM sends SIGUSR1 before the time limit, if the job asks for it, and SIGTERM before preemption.
STOP_SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


class MarkComplete(TrainerCallback):
    """Marks each finished checkpoint as complete, and only then removes older ones; keeps ``keep`` of them.

    The Trainer's own ``save_total_limit`` removes them as part of saving, before the new checkpoint is known
    to be complete: a kill at that moment would leave nothing to resume from.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep

    def on_save(self, args: TrainingArguments, state, control, **options) -> None:
        # Every rank writes into the checkpoint: its random state, and its shard if the model is sharded.
        if dist.is_initialized():
            dist.barrier()
        if not state.is_world_process_zero:
            return
        assert args.output_dir is not None  # TrainingArguments replaces None by its default
        out = Path(args.output_dir)
        mark_complete(out / f"checkpoint-{state.global_step}")
        older = sorted(step for step in checkpoints_of(out) if step < state.global_step)
        for step in older[: max(0, len(older) + 1 - self.keep)]:
            shutil.rmtree(out / f"checkpoint-{step}")


class FollowArguments(TrainerCallback):
    """On a resume, saves and logs as the recipe says now; the Trainer takes the checkpoint's settings."""

    def on_train_begin(self, args: TrainingArguments, state, control, **options) -> None:
        # Our arguments are numbers of steps, never shares of all steps.
        state.save_steps, state.logging_steps = args.save_steps, args.logging_steps
        state.train_batch_size = args.train_batch_size


class StopOnSignal(TrainerCallback):
    """Saves a checkpoint and ends training after the step in which any rank received one of `STOP_SIGNALS`.

    `listen` blocks the signals, and the end of each step looks for pending ones. Blocking rather than
    handling them, because SLURM sends them to every process of a job and child processes inherit the mask.
    Otherwise SIGTERM would end the data loader's workers, and PyTorch then ends the rank before anything is
    saved.
    """

    def __init__(self) -> None:
        self.stop_requested = False

    def listen(self) -> None:
        """Hold the signals back from now on; call it from the main thread."""
        # Threads that already run do not get this thread's mask. A signal delivered to one of them runs the
        # handler, so that needs to be set as well.
        for number in STOP_SIGNALS:
            signal.signal(number, self._request_stop)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """`listen` for the length of a ``with`` block, then restore handlers and mask."""
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        self.listen()
        try:
            yield
        finally:
            self._take_pending()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def on_step_end(self, args, state, control, **options) -> None:
        self._take_pending()
        # Signals reach ranks at different times, but all must leave the loop after the same step: a rank that
        # goes into another step alone would wait for the others for ever.
        if any_rank(self.stop_requested, args.device):
            control.should_log = control.should_save = control.should_training_stop = True

    def _take_pending(self) -> None:
        # Not sigpending() followed by sigwait(): another thread may take the signal in between, and sigwait()
        # would wait for ever.
        while (pending := signal.sigtimedwait(STOP_SIGNALS, 0)) is not None:
            self._request_stop(pending.si_signo)

    def _request_stop(self, number: int, frame: FrameType | None = None) -> None:
        self.stop_requested = True


def any_rank(value: bool, device: torch.device) -> bool:
    """Whether ``value`` is true on at least one rank; all ranks must call this."""
    if not dist.is_initialized():
        return value
    flag = torch.tensor(int(value), device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())


class WriteProgress(TrainerCallback):
    """Rewrites ``progress.json`` at each logged step: step, of, loss, seconds_per_step and Unix time."""

    def __init__(self) -> None:
        self.began = (0, 0.0)

    def on_train_begin(self, args, state, control, **options) -> None:
        self.began = (state.global_step, time.monotonic())

    def on_log(self, args, state, control, logs=None, **options) -> None:
        if not state.is_world_process_zero or logs is None or "loss" not in logs:
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
