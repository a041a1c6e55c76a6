"""Trainer callbacks of both engines: complete checkpoints, a clean stop on a signal, a progress file."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch.distributed as dist
from transformers import TrainerCallback, TrainingArguments

from ndino.common.files import write_json
from ndino.train.checkpoints import PROGRESS, checkpoints_of, is_complete, mark_complete
from ndino.train.health.divergence import DivergenceGuard
from ndino.train.health.ranks import any_rank
from ndino.train.stage import is_first_rank

# SLURM sends SIGUSR1 before the time limit, if the job asks for it, and SIGTERM before preemption.
STOP_SIGNALS = (signal.SIGUSR1, signal.SIGTERM)

# What a log has beside the loss.
SHOWN = (
    "grad_norm",
    "learning_rate",
    "samples_per_second",
    "tokens_per_second",
    "useful_share",
    "mfu",
    "gpu_memory_gib",
)
CURVES = {"loss": "loss", "eval": "eval_loss"}


class MarkComplete(TrainerCallback):
    """Marks finished checkpoints as complete; keeps ``keep`` of them once the newest is known to be good.

    The Trainer's own ``save_total_limit`` removes older ones as part of saving, before the new checkpoint is
    known to be complete: a kill at that moment would leave nothing to resume from. And weights may be finite
    and still ruined, which shows in the loss of the step after: until then the older ones stay.
    """

    def __init__(self, keep: int, guard: DivergenceGuard) -> None:
        self.keep = keep
        self.guard = guard
        self.unproven = True  # whether a checkpoint may be there that no later step has shown to be good

    def on_save(self, args: TrainingArguments, state, control, model=None, **options) -> None:
        assert model is not None
        self.guard.check_weights(args, state, model)
        # Every rank writes into the checkpoint: its random state, and its shard if the model is sharded.
        if dist.is_initialized():
            dist.barrier()
        if not state.is_world_process_zero:
            return
        assert args.output_dir is not None  # TrainingArguments replaces None by its default
        out = Path(args.output_dir)
        mark_complete(out / f"checkpoint-{state.global_step}")
        self.unproven = True

    def on_pre_optimizer_step(self, args: TrainingArguments, state, control, **options) -> None:
        # The guard has looked at the step before this callback is reached.
        if self.guard.proven == state.global_step + 1:
            self._remove_older(args, state)

    def on_train_end(self, args: TrainingArguments, state, control, **options) -> None:
        if state.global_step >= state.max_steps:  # no step after it will show more
            self._remove_older(args, state)

    def _remove_older(self, args: TrainingArguments, state) -> None:
        if not self.unproven or not state.is_world_process_zero:
            return
        self.unproven = False
        assert args.output_dir is not None  # TrainingArguments replaces None by its default
        found = checkpoints_of(Path(args.output_dir))
        for step in sorted(step for step, path in found.items() if is_complete(path))[: -self.keep]:
            shutil.rmtree(found[step])


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

    Ctrl-C stops in the same way while training runs; a second one ends the process at once. Before training
    there is nothing to save, and it ends the process as usual.
    """

    def __init__(self) -> None:
        self.stop_requested = False
        self._on_interrupt: Any = None

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
            self._restore_interrupt()
            self._take_pending()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def requested(self) -> bool:
        """Whether a signal has come so far."""
        self._take_pending()
        return self.stop_requested

    def on_train_begin(self, args, state, control, **options) -> None:
        # Handled rather than blocked, so that a second Ctrl-C does not wait for a step. The loader's workers,
        # which the terminal interrupts too, inherit the handler.
        if self._on_interrupt is None and threading.current_thread() is threading.main_thread():
            self._on_interrupt = signal.signal(signal.SIGINT, self._interrupt)

    def on_train_end(self, args, state, control, **options) -> None:
        self._restore_interrupt()

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

    def _interrupt(self, number: int, frame: FrameType | None = None) -> None:
        if self.stop_requested:
            raise KeyboardInterrupt
        if is_first_rank() and multiprocessing.parent_process() is None:
            print("\nstopping after this step; Ctrl-C again to end without a checkpoint", file=sys.stderr)
        self.stop_requested = True

    def _restore_interrupt(self) -> None:
        if self._on_interrupt is not None:
            signal.signal(signal.SIGINT, self._on_interrupt)
            self._on_interrupt = None

    def _request_stop(self, number: int, frame: FrameType | None = None) -> None:
        self.stop_requested = True


class WriteProgress(TrainerCallback):
    """Rewrites ``progress.json`` at each logged step: step, loss, speed, time and the curves so far."""

    def __init__(self) -> None:
        self.began = (0, 0.0)
        self.written: dict[str, Any] = {}

    def on_train_begin(self, args, state, control, **options) -> None:
        self.began = (state.global_step, time.monotonic())

    def on_log(self, args, state, control, logs=None, **options) -> None:
        if not state.is_world_process_zero or logs is None:
            return
        if "loss" in logs:
            steps = state.global_step - self.began[0]
            self.written = {
                "step": state.global_step,
                "of": state.max_steps,
                "loss": logs["loss"],
                **{name: logs[name] for name in SHOWN if name in logs},
                "seconds_per_step": round((time.monotonic() - self.began[1]) / steps, 3),
                "time": round(time.time()),
            }
        elif "eval_loss" not in logs or not self.written:
            return
        # The curves of a run that is not finished, for `ndino report --live`.
        curves = {f"{name}_curve": curve(state.log_history, key) for name, key in CURVES.items()}
        write_json(Path(args.output_dir) / PROGRESS, {**self.written, **curves})


def curve(history: Sequence[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    """(Optimiser step, value) of each entry of a trainer's history that has ``key``."""
    return [(row["step"], row[key]) for row in history if key in row]
