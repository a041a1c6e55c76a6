"""Stops training that diverges, on all ranks in the same step; for both engines.

A step is looked at after its backward pass and before its update counts: a loss or a gradient norm that is
not finite, a loss far above the recent ones for several steps in a row, or gradients that are all exactly 0
for several steps (a dead model, whose loss may well be finite), ends training with `Diverged`.
Nothing of it is saved: a checkpoint from which a bad step was computed no longer counts as complete.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from ndino.common.files import write_json
from ndino.common.parsing import read_json
from ndino.formats.finite import first_non_finite
from ndino.train.checkpoints import checkpoints_of, newest_complete_checkpoint, unmark
from ndino.train.health.ending import note_failure
from ndino.train.health.outcome import SPIKES, Course, spike_limit
from ndino.train.health.ranks import from_first_rank, of_every_rank
from ndino.train.health.shards import local_weights
from ndino.train.stage import StageError

RECORD = "divergence.json"  # in a run's folder: what happened, and in which step
# A loss is compared with the median of the last WINDOW steps (`spike_limit`). Losses start high and fall, so
# warm-up makes no spike; a batch of hard samples stays below, and gradient clipping bounds what one does.
WINDOW, FEWEST = 128, 32
ZERO_NORMS = 3  # steps in a row whose gradient norm is exactly 0, though they have something to train
AFTER_WARM_UP = 3  # steps after warm-up in which a divergence is put down to the learning rate
DEAD = "every gradient is exactly 0 and nothing is learned any more"
MAX_SKIPS = 3  # steps that a run may skip with on_divergence: skip
ROWS_SHOWN = 16
# In the names of weights, of either engine, that only images pass through.
OF_IMAGES = ("vision_tower", "projector", "image_newline")


class Diverged(StageError):
    """Training diverged; `event` is what `RECORD` holds about it."""

    def __init__(self, message: str, *, event: Event) -> None:
        super().__init__(message)
        self.event = event


@dataclass
class Event:
    """A divergence.

    Attributes:
        step: the first bad step, counted from 1.
        noticed: the step in which it was noticed.
        what: what is wrong, in words.
        checkpoint: the newest complete checkpoint before it; None if there is none.
        batches: of each bad step, every rank's micro-batches: ``{step, rank, rows, loss}``. ``rows`` are row
            numbers of the data file, ``loss`` is the micro-batch's share of the step's loss, in words. Empty
            where it is seen only at the end that the loss of many steps is bad.
        skipped: whether training went back to ``checkpoint`` and left out the batch of ``step``.
        time: Unix time.
    """

    step: int
    noticed: int
    what: str
    checkpoint: str | None
    batches: list[dict[str, Any]]
    skipped: bool = False
    time: int = field(default_factory=lambda: round(time.time()))

    @property
    def rows(self) -> list[int]:
        """The rows of the first bad step; of its micro-batches without a finite loss, if there are any."""
        batches = [each for each in self.batches if each["step"] == self.step]
        bad = [each for each in batches if not math.isfinite(float(each["loss"]))]
        return sorted({row for each in bad or batches for row in each["rows"]})


def events(out: Path) -> list[Event]:
    """The divergences of the run in ``out``, oldest first."""
    try:
        return [Event(**each) for each in read_json(out / RECORD)]
    except (OSError, ValueError, TypeError):
        return []


def skipped_steps(out: Path) -> list[int]:
    """The steps whose batches the run in ``out`` has skipped."""
    return sorted(event.step for event in events(out) if event.skipped)


def record(out: Path, event: Event) -> None:
    """Add an event to ``out/divergence.json``; it replaces an earlier one of the same step."""
    kept = [each for each in events(out) if each.step != event.step]
    write_json(out / RECORD, [asdict(each) for each in [*kept, event]])


class SpikeDetector:
    """Counts losses in a row that are far above the running median."""

    def __init__(self) -> None:
        self.losses: deque[float] = deque(maxlen=WINDOW)
        self.in_a_row = 0

    @property
    def median(self) -> float | None:
        """Of the last `WINDOW` losses that were no spikes; None before there are any."""
        return statistics.median(self.losses) if self.losses else None

    @property
    def limit(self) -> float:
        """Above it a loss is a spike; infinite until there are enough losses for a median."""
        if self.median is None or len(self.losses) < FEWEST:
            return math.inf
        return spike_limit(self.median)

    def add(self, loss: float) -> None:
        """Take in the loss of a step."""
        if loss > self.limit:
            self.in_a_row += 1
        else:
            self.in_a_row = 0
            self.losses.append(loss)


class DivergenceGuard(TrainerCallback):
    """Looks at each step's loss and gradient norm, and raises `Diverged` on all ranks together.

    The trainer tells it of every micro-batch by `saw` and of the gradient norm by setting `norm`. It has to
    come before callbacks that count on a good step.

    Attributes:
        skip: steps that the trainer leaves out, because training diverged in them before.
        proven: the last step whose loss showed that the weights before it are good.
    """

    def __init__(self, *, skipping: bool | None = False) -> None:
        self.skipping = skipping  # None: the engine cannot
        self.skip: Collection[int] = ()
        self.norm: Any = None
        self.spikes = SpikeDetector()
        self.zero_norms = 0  # in a row, up to the last step
        self.proven = 0
        self._needs_images = False  # whether only what images pass through is trained
        self._images = False
        self._batches: list[tuple[Any, torch.Tensor]] = []
        self._suspects: dict[int, list[tuple[Any, torch.Tensor]]] = {}
        self._last: dict[int, list[tuple[Any, torch.Tensor]]] = {}

    def saw(self, rows: Any, loss: torch.Tensor, *, images: bool) -> None:
        """Note a micro-batch: its rows (tensor or list), its share of the step's loss, a scalar, and whether
        it has ``images``."""
        self._images = self._images or images
        # Kept on their device: reading them here would wait for it in every micro-batch.
        self._batches.append((rows, loss.detach()))

    def on_train_begin(self, args, state, control, model=None, **options) -> None:
        trained = [name for name, weight in model.named_parameters() if weight.requires_grad] if model else []
        self._needs_images = all(any(part in name for part in OF_IMAGES) for name in trained)
        # After a resume, what was logged before stands for the losses of its steps.
        self.spikes.losses.extend([row["loss"] for row in state.log_history if "loss" in row][-FEWEST:])

    def on_pre_optimizer_step(self, args, state, control, **options) -> None:
        step = state.global_step + 1
        batches, self._batches = self._batches, []
        norm, self.norm = self.norm, None
        images, self._images = self._images, False
        if step in self.skip:
            return
        trains = norm is not None and (images or not self._needs_images)
        loss, norm, trains = self._of_all_ranks(batches, norm, trains, args.device)
        self._last = {step: batches}
        self._suspects |= self._last
        what = None
        if not math.isfinite(loss):
            what = f"the loss is {loss}"
        elif not math.isfinite(norm):
            what = f"the gradient norm is {norm}, the loss {loss:.4g}"
        else:
            self.spikes.add(loss)
            if self.spikes.in_a_row >= SPIKES:
                what = f"the loss is {loss:.4g} after a median of {self.spikes.median:.4g}"
            # A step without images neither counts nor ends the count where only their part is trained.
            if norm or trains:
                self.zero_norms = 0 if norm else self.zero_norms + 1
            if self.zero_norms >= ZERO_NORMS:
                what = f"{DEAD}, the loss {loss:.4g}"
        if what is not None:
            self._stop(args, state, noticed=step, what=what)
        if not self.spikes.in_a_row and not self.zero_norms:
            self._suspects.clear()
            self.proven = step

    def load_skips(self, out: Path, resumed_at: int) -> None:
        """Take over which steps to skip from ``out``; all ranks must call this.

        With ``on_divergence: skip`` these are also the steps after ``resumed_at`` at which an earlier start
        of the run stopped.
        """

        def steps() -> list[int]:
            for event in events(out) if self.skipping else []:
                if not event.skipped and event.step > resumed_at and len(skipped_steps(out)) < MAX_SKIPS:
                    record(out, replace(event, skipped=True))
            return skipped_steps(out)

        self.skip = from_first_rank(steps)

    def check_weights(self, args, state, model: torch.nn.Module) -> None:
        """Stop if weights of any rank are not finite after the last update; all ranks must call this."""
        names = of_every_rank(first_non_finite(local_weights(model)))
        bad = next((each for each in names if each is not None), None)
        if bad is not None:
            self._stop(args, state, noticed=state.global_step, what=f"{bad} is not finite after its update")

    def judge_end(self, args, state, look: Callable[[int], float], vocabulary: int) -> str | None:
        """Stop if training has ruined the weights; all ranks must call this after the last step.

        There are too few steps left to see several bad ones in a row. So one without a gradient is enough,
        and `SPIKES` micro-batches stand for the steps after the last: until one of them is good.

        Args:
            look: the loss of all ranks' micro-batches with this number, from 0, by the last weights.
            vocabulary: the number of tokens that the model knows.

        Returns:
            A warning if training made the model worse, but did not ruin it (`Course.warning`).
        """
        step, course = state.global_step, Course.of(state.log_history, vocabulary)
        if self.zero_norms:
            self._stop(args, state, noticed=step, what=f"{DEAD}, up to the last step")
        losses: list[float] = []
        while len(losses) < SPIKES:
            losses.append(look(len(losses)))
            if not math.isfinite(losses[-1]):
                self._stop(args, state, noticed=step, what=f"the loss is {losses[-1]} after the last step")
            if losses[-1] <= min(self.spikes.limit, course.well_up_to):
                break
        last = min(losses)
        if last > min(self.spikes.limit, course.ruined_above):
            compared = f"after a median of {self.spikes.median:.4g}"
            if last <= self.spikes.limit:
                compared = f"{course.first:.4g} in the first, {course.uniform:.4g} for a uniform guess"
            what = f"the loss is {last:.4g} after the last step, {compared}"
            self._stop(args, state, noticed=step, what=what, since=course.ruined_since)
        return course.warning(last)

    def _of_all_ranks(
        self, batches, norm: Any, trains: bool, device: torch.device
    ) -> tuple[float, float, bool]:
        """The step's loss and gradient norm, and whether it ``trains`` something on any rank."""
        loss = torch.stack([loss.float().to(device) for _, loss in batches]).sum()
        if hasattr(norm, "full_tensor"):  # FSDP's norm is spread over the ranks, too
            norm = norm.full_tensor()
        norm = torch.as_tensor(0.0 if norm is None else norm, dtype=torch.float32, device=device)
        all_three = torch.stack([loss, norm.reshape(()), loss.new_tensor(float(trains))])
        if dist.is_initialized():
            # The norm is the same everywhere, unless one rank alone sees that it is not finite.
            dist.all_reduce(all_three)
            all_three /= dist.get_world_size()
        loss, norm, training = all_three.tolist()
        # DeepSpeed has -1 for a norm that is not finite.
        return loss, math.nan if norm < 0 else norm, training > 0

    def _stop(self, args, state, *, noticed: int, what: str, since: int | None = None) -> None:
        """Raise `Diverged`; ``since`` is the first bad step where that is not one of the steps kept here."""
        out = Path(args.output_dir)
        # A spike began some steps ago; a loss that is not finite may end one.
        suspects = self._suspects or self._last
        first = min(suspects, default=noticed)
        if since is not None and since < first:
            suspects, first = {}, since
        batches = [each for rank in of_every_rank(list(_described(suspects))) for each in rank]
        event = from_first_rank(lambda: self._recorded(out, Event(first, noticed, what, None, batches)))
        rate = _blamed_rate(args, state, out, event)
        message = _message(out, event, rate=rate, skipping=self.skipping)
        if state.is_world_process_zero and not event.skipped:
            note_failure(out, message)
        raise Diverged(message, event=event)

    def _recorded(self, out: Path, event: Event) -> Event:
        """Unmark the checkpoints that the event spoils, decide whether its step is skipped, and record it."""
        # The first bad step was computed from the weights after the step before it.
        for step, path in checkpoints_of(out).items():
            if step >= event.step - 1:
                unmark(path, f"training diverged at step {event.step}")
        good = newest_complete_checkpoint(out)
        event.checkpoint = good.name if good else None
        skips = self.skipping and event.batches  # not a divergence of many steps
        event.skipped = bool(skips) and event.step not in self.skip and len(skipped_steps(out)) < MAX_SKIPS
        record(out, event)
        return event


def _described(suspects: Mapping[int, list[tuple[Any, torch.Tensor]]]) -> Iterator[dict[str, Any]]:
    rank = dist.get_rank() if dist.is_initialized() else 0
    for step, batches in suspects.items():
        for rows, loss in batches:
            numbers = rows.tolist() if isinstance(rows, torch.Tensor) else list(rows)
            yield {"step": step, "rank": rank, "rows": numbers, "loss": str(loss.item())}


def skip_notice(out: Path, event: Event) -> str:
    """What to say when training goes back and skips the step of ``event``."""
    return f"{_what(out, event)}; back to {event.checkpoint or 'the start'}, and on without this step's batch"


def _blamed_rate(args, state, out: Path, event: Event) -> str | None:
    """Why the learning rate is to blame rather than the rows of a step, in words; None if it is not."""
    steps = sorted({event.step, *(each.step for each in events(out))})
    warm_up = args.get_warmup_steps(state.max_steps)
    if not event.batches:
        why = "no later step brought the loss down"
    elif len(steps) > 1:
        why = f"training diverged at {len(steps)} different steps"
    elif 1 < event.step <= warm_up + AFTER_WARM_UP:  # before step 1 nothing has been changed
        why = f"step {event.step} is in or right after warm-up"
    else:
        return None
    return f"learning_rate {args.learning_rate:g} is most likely too high, as {why}"


def _what(out: Path, event: Event, rate: str | None = None) -> str:
    shown = ", ".join(map(str, event.rows[:ROWS_SHOWN]))
    more = len(event.rows) - ROWS_SHOWN
    rows = f"; row(s) {shown}{f' and {more} more' if more > 0 else ''} of {_data_file(out)} in it"
    since = f" in step {event.noticed}, since step {event.step}" if event.noticed != event.step else ""
    blamed = f"; {rate}" if rate else ""
    if not event.batches:  # the last weights are judged, after many bad steps
        rows = since = ""
    return f"{out}: training diverged at step {event.step}: {event.what}{since}{blamed}{rows}"


def _message(out: Path, event: Event, *, rate: str | None, skipping: bool | None) -> str:
    remedy = "look at these rows; or train again with a lower learning_rate in another --out"
    if rate:
        remedy = (
            "train again with a lower learning_rate in another --out; if that diverges too, look at the rows"
        )
    if event.step == 1:  # its loss and gradient are of weights that no step has changed yet
        remedy = "look at the start model, whose weights no step had changed yet; then at these rows"
    if skipping and event.batches:
        remedy += f"; {MAX_SKIPS} steps were skipped, which is the most"
    elif skipping is False and not rate:
        remedy += "; or set on_divergence: skip in the recipe and rerun to resume from "
        remedy += f"{event.checkpoint or 'the start'} without this step's batch"
    return f"{_what(out, event, rate)}, details in {out / RECORD} (remedy: {remedy})"


def _data_file(out: Path) -> str:
    try:
        return read_json(out / "run.json")["data"]["file"]
    except (OSError, ValueError, KeyError):
        return "the data"
