"""What the ranks of a stage do together: decide, tell each other, and end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ndino.common.errors import Stopped, UserError, reason_of
from ndino.train.health.ending import note_error, note_failure_of_job
from ndino.train.resuming.run_folder import RUN
from ndino.train.stage import RefusedStartError, StageError, StageStopped

Value = TypeVar("Value")


class LostRanksError(StageError):
    """Another rank ended while this one was waiting for it."""


def any_rank(value: bool, device: torch.device) -> bool:
    """Whether ``value`` is true on at least one rank; all ranks must call this."""
    if not dist.is_initialized():
        return value
    flag = torch.tensor(int(value), device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())


def of_every_rank(value: Value) -> list[Value]:
    """``value`` of each rank, by rank; all ranks must call this. It travels as an object: small ones only."""
    if not dist.is_initialized():
        return [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found


def from_first_rank(compute: Callable[[], Value]) -> Value:
    """What ``compute`` returns on rank 0, on every rank; an error there is raised on every rank.

    Raises:
        StageError: ``compute`` failed on another rank, which raises its own error.
        StageStopped: it was told to stop there.
    """
    if not dist.is_initialized():
        return compute()
    answer: list[Any] = [None, None, False]  # value, what went wrong, whether that is a stop
    failed: Exception | None = None
    if dist.get_rank() == 0:
        try:
            answer = [compute(), None, False]
        except Exception as error:
            failed, answer = error, [None, reason_of(error), isinstance(error, Stopped)]
    dist.broadcast_object_list(answer, src=0)
    if failed is not None:
        raise failed
    if answer[2]:
        raise StageStopped(answer[1])
    if answer[1] is not None:
        raise StageError(f"rank 0: {answer[1]}")
    return answer[0]


@contextlib.contextmanager
def ending_together(out: Path) -> Iterator[None]:
    """Leave the process group when the ``with`` block ends; note in ``out`` why training failed.

    An error before ``out`` holds this run is only noted for a job: a command that is refused changes no file.

    A rank that exits with its group in place may abort in the group's destructor, after its work is done, and
    the launcher then counts a finished stage as failed.
    """
    try:
        yield
    except Stopped:
        leave()
        raise
    except BaseException as error:
        lost = _lost_ranks(error)
        ours = (out / RUN).is_file() and not isinstance(error, RefusedStartError)
        if isinstance(error, Exception) and not lost and ours:
            note_error(out, error)
        elif isinstance(error, UserError) and not lost:
            note_failure_of_job(out, str(error))
        rank = dist.get_rank() if dist.is_initialized() else 0
        leave(failed=True)
        if lost:
            raise LostRanksError(
                f"rank {rank}: the connection to another rank broke: {reason_of(error)} (remedy: see why "
                "that rank ended, then rerun to resume)"
            ) from error
        raise
    leave()


def _lost_ranks(error: BaseException) -> bool:
    """Whether an error is only that an operation of all ranks could not be completed."""
    if not dist.is_initialized():
        return False
    # gloo has no error of its own; the text names its source file.
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo/transport/" in str(error)
    )


def leave(*, failed: bool = False) -> None:
    """Leave the process group, if there is one; ``failed`` if other ranks may still be at work."""
    if not dist.is_initialized():
        return
    if failed and dist.get_backend() == "nccl":
        # Other ranks may be waiting for this one in the middle of an operation. Destroying the group would
        # wait for that operation in turn.
        dist.distributed_c10d._abort_process_group()
    else:
        dist.destroy_process_group()
