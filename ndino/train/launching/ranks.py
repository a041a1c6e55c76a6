"""``ndino train --gpus N``: N ranks of one stage on this machine, without SLURM.

Every GPU holds the whole model (DDP). To split it, start the same command through accelerate:
``accelerate launch --config_file launch/accelerate/zero3.yaml --num_processes N -m ndino train …``.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ndino.common.errors import UsageError
from ndino.train.launching.last_words import PIPE, conclusions, killed, read_words

# What `ndino.train.stage.add_stage_arguments` adds, but for the recipe.
STAGE_OPTIONS = ("out", "engine", "model", "language_model", "vision_tower", "data", "images", "overrides")
FORWARDED = (signal.SIGTERM, signal.SIGUSR1)
GRACE_SECONDS = 30  # for the other ranks to end by themselves after one has failed
POLL_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def require_gpus(count: int) -> None:
    """Check that each of ``count`` ranks gets a GPU; on a machine without one they train on the CPU.

    Raises:
        UsageError: PyTorch sees some GPUs, but fewer.
    """
    import torch

    found = torch.cuda.device_count()
    if 0 < found < count:
        raise UsageError(f"--gpus {count}: PyTorch sees {found} GPU(s) (remedy: --gpus {found})")
    if not found:
        print(f"--gpus {count}: PyTorch sees no GPU; {count} ranks train on the CPU", file=sys.stderr)


def stage_command(options: argparse.Namespace) -> list[str]:
    """The arguments of ``ndino train`` that give these options, without ``--gpus``."""
    command = [str(options.recipe)]
    for name in STAGE_OPTIONS:
        if (value := getattr(options, name)) is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    return command


def run_ranks(
    command: Sequence[str | Path],
    count: int,
    *,
    grace: float = GRACE_SECONDS,
    on_killed: Callable[[str], object] = lambda line: None,
) -> int:
    """Run ``python COMMAND`` as ``count`` ranks until all have ended; returns the exit code.

    SIGTERM and SIGUSR1 reach every rank. Ctrl-C asks them to save and stop, a second one kills them. When a
    rank fails, the others get ``grace`` seconds to end. The exit code is that of the first rank that failed
    (128 + N after signal N), else 0. Why they failed is printed at the end, each reason once.

    Args:
        on_killed: called with the reason if a signal killed a rank, which could not note it itself.
    """
    words, pipe = os.pipe()
    os.set_blocking(words, False)
    shared = os.environ | {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        PIPE: str(pipe),
    }
    shared.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // count)))
    shared.setdefault("GLOO_SOCKET_IFNAME", "lo")
    requests: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: requests.append(number))
        for number in (signal.SIGINT, *FORWARDED)
    }
    # Ranks inherit the mask and look for pending signals once they train: one that arrives while a rank still
    # imports must not end it and leave the others waiting.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    try:
        ranks = [
            subprocess.Popen(
                [sys.executable, *command],
                env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                # Not in the terminal's group, so that one Ctrl-C reaches them once.
                start_new_session=True,
                pass_fds=(pipe,),
                preexec_fn=_end_with(os.getpid()),
            )
            for rank in range(count)
        ]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(pipe)
    try:
        return _wait(ranks, requests, grace, words, on_killed)
    finally:
        _kill(ranks)
        os.close(words)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _wait(
    ranks: Sequence[subprocess.Popen],
    requests: list[int],
    grace: float,
    words: int,
    on_killed: Callable[[str], object],
) -> int:
    interrupts, deadline, failure, said = 0, None, 0, b""
    while (codes := [rank.poll() for rank in ranks]).count(None):
        while requests:
            number = requests.pop(0)
            if number == signal.SIGINT:
                interrupts += 1
                if interrupts > 1:
                    return 128 + signal.SIGINT
                print(
                    "\nstopping after this step, or before the first; Ctrl-C again ends without a checkpoint",
                    file=sys.stderr,
                )
                number = signal.SIGTERM
            for rank in ranks:
                rank.send_signal(number)
        said += _read(words)
        failure = failure or _first_failure(codes)
        if failure and deadline is None:
            deadline = time.monotonic() + grace
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    failure = failure or _first_failure(codes)
    endings = {rank: code for rank, code in enumerate(codes) if code is not None}
    last = read_words(said + _read(words))
    for line in conclusions(last, endings):
        print(f"ndino train: {line}", file=sys.stderr)
    if (line := killed(last, endings)) is not None:
        on_killed(line)
    return 128 - failure if failure < 0 else failure


def _first_failure(codes: Sequence[int | None]) -> int:
    """The code of a rank that a signal ended, which is why others fail; or of any that failed; or 0."""
    failed = [code for code in codes if code]
    return next((code for code in failed if code < 0), next(iter(failed), 0))


def _read(pipe: int) -> bytes:
    try:
        return os.read(pipe, 1 << 20)
    except BlockingIOError:  # nothing there
        return b""


def _kill(ranks: Sequence[subprocess.Popen]) -> None:
    for rank in ranks:
        if rank.poll() is None:
            rank.kill()
    for rank in ranks:
        rank.wait()


def _end_with(parent: int) -> Callable[[], None]:
    """What a rank runs before its program: the kernel is to kill it when this process is killed."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
