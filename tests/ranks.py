"""Several ranks of one command on this machine, as a launcher starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

_TAKEN: list[socket.socket] = []


def free_port() -> int:
    """A port for a server that this process starts; the system gives it to no other until this process ends.

    A server can listen on it all the same if it sets SO_REUSEADDR or SO_REUSEPORT, as all that we start do.
    """
    taken = socket.socket()
    for reuse in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        taken.setsockopt(socket.SOL_SOCKET, reuse, 1)
    taken.bind(("127.0.0.1", 0))
    _TAKEN.append(taken)  # bound as long as it is there
    return taken.getsockname()[1]


def start_ranks(arguments: Sequence[str | Path], count: int, **environment: str) -> list[subprocess.Popen]:
    """Start ``python ARGUMENTS`` as ``count`` ranks that find one another over loopback."""
    shared = os.environ | {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]


def finish_ranks(ranks: Sequence[subprocess.Popen]) -> list[str]:
    """What each rank printed; the test fails with it when one of them failed."""
    try:
        printed = [rank.communicate(timeout=300)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for rank, text in zip(ranks, printed, strict=True):
        assert rank.returncode == 0, text[-3000:]
    return printed


def fork_ranks(count: int, work: Callable[[], None]) -> None:
    """Run ``work`` as ``count`` ranks, forked, so that what is imported need not be imported again.

    This process must not have trained or joined other ranks itself.
    """
    port = str(free_port())
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
            os.environ |= {"LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ |= {"GLOO_SOCKET_IFNAME": "lo"}
            try:
                work()
            except SystemExit as ended:
                os._exit(int(ended.code or 0))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    failed = [child for child in children if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]
    if failed:
        raise RuntimeError(f"{len(failed)} of {count} ranks failed")
