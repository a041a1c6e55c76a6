"""How many processes read and tile the images of a rank."""

from __future__ import annotations

import os

MOST_WORKERS = 8  # one sample takes some 30 ms of CPU, and a GPU takes longer for it
TINY_ROWS = 2_000  # fewer rows are read before the workers have started


def loader_workers(wanted: int | None, *, rows: int, ranks_here: int = 1) -> int:
    """The number of loader workers of a rank: the recipe's, or by the CPUs there are if that is None.

    The samples and their order do not depend on it.

    Args:
        wanted: the recipe's ``loader_workers``.
        rows: usable rows of the data.
        ranks_here: ranks on this machine, which share its CPUs.
    """
    if wanted is not None:
        return wanted
    if rows < TINY_ROWS:
        return 0
    # The CPUs this process may use: under SLURM, those of the job.
    return min(len(os.sched_getaffinity(0)) // ranks_here, MOST_WORKERS)


def ranks_on_this_machine() -> int:
    """As the launcher says: torchrun and accelerate set LOCAL_WORLD_SIZE."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
