"""What the ranks of a stage do together: decide, and end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist

from ndino.common.errors import Stopped, UserError
from ndino.train.health.ending import note_failure_of_job


def any_rank(value: bool, device: torch.device) -> bool:
    """Whether ``value`` is true on at least one rank; all ranks must call this."""
    if not dist.is_initialized():
        return value
    flag = torch.tensor(int(value), device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())


@contextlib.contextmanager
def ending_together(out: Path) -> Iterator[None]:
    """Leave the process group when the ``with`` block ends; note in ``out`` an error that would come again.

    A rank that exits with its group in place may abort in the group's destructor, after its work is done, and
    the launcher then counts a finished stage as failed.
    """
    try:
        yield
    except Stopped:
        leave()
        raise
    except BaseException as error:
        if isinstance(error, UserError):
            note_failure_of_job(out, str(error))
        leave(failed=True)
        raise
    leave()


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
