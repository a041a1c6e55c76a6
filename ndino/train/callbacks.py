"""What both engines' trainers do beside training: stop when they are told to, and say how far they are."""

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
from ndino.train.checkpoints import PROGRESS, checkpoints_of, mark_whole

# SLURM sends the first ahead of the time limit, where a job asks for it, and the second before preemption.
STOP_SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


class MarkWhole(TrainerCallback):
    """Marks each finished checkpoint, and only then removes the older ones.

    The Trainer's own ``save_total_limit`` would remove them before: a kill in between leaves none.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep

    def on_save(self, args: TrainingArguments, state, control, **options) -> None:
        # Every rank writes into the checkpoint: its random state at least, and its shard where it has one.
        if dist.is_initialized():
            dist.barrier()
        if not state.is_world_process_zero:
            return
        out = Path(args.output_dir)
        mark_whole(out / f"checkpoint-{state.global_step}")
        older = sorted(step for step in checkpoints_of(out) if step < state.global_step)
        for step in older[: max(0, len(older) + 1 - self.keep)]:
            shutil.rmtree(out / f"checkpoint-{step}")


class StopOnSignal(TrainerCallback):
    """Saves and ends training after the step in which any rank was sent one of `STOP_SIGNALS`.

    SLURM sends them to every process of a job. From `listen` on they are blocked, and found at the end of a
    step. Processes that are started meanwhile inherit that, such as the loader's workers, which PyTorch would
    end on SIGTERM, and the rank with them, before anything is saved.
    """

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Wait for the signals from here on; for the main thread."""
        # Threads that were started before block nothing, and what one of them is sent comes to the handler.
        for number in STOP_SIGNALS:
            signal.signal(number, self._ask)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """`listen` for a while."""
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
        # Signals reach ranks at different steps, but all must leave the loop after the same one.
        if any_rank(self.asked, args.device):
            control.should_log = control.should_save = control.should_training_stop = True

    def _take_pending(self) -> None:
        # Not sigpending() and then sigwait(): a thread that does not block them may take one in between.
        while (pending := signal.sigtimedwait(STOP_SIGNALS, 0)) is not None:
            self._ask(pending.si_signo)

    def _ask(self, number: int, frame: FrameType | None = None) -> None:
        self.asked = True


def any_rank(value: bool, device: torch.device) -> bool:
    """Whether ``value`` is true on one rank at least."""
    if not dist.is_initialized():
        return value
    flag = torch.tensor(int(value), device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())


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
