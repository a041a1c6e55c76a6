"""Run jobs that depend on each other in single-threaded worker processes, with a progress display."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_for
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ndino.common.errors import reason_of

Report = Callable[[int, int], None]


class JobError(RuntimeError):
    """A job failed; the message says which one and why."""


@dataclass(frozen=True)
class Job:
    """A job: a worker calls ``run(report, *arguments)`` once all ``needs`` are done.

    ``run`` calls ``report(done, total)`` to move its progress bar.
    """

    name: str
    run: Callable[..., Any]
    arguments: tuple = ()
    needs: tuple[str, ...] = ()


@dataclass
class JobOutcome:
    """Seconds per job, and the peak memory (MiB) of each worker process by process id."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak_rss_mb: dict[int, float] = field(default_factory=dict)


def run_jobs(jobs: Iterable[Job], *, workers: int, console: Console, log: Path) -> JobOutcome:
    """Run all jobs; if several are ready, in the order of the list. Their output is appended to ``log``.

    Raises:
        JobError: a job failed. Other running jobs are stopped; files that they have saved stay.
    """
    waiting = {job.name: job for job in jobs}
    outcome = JobOutcome()
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    manager.start(_watch_parent)
    with manager, _progress(console) as progress:
        queue = manager.Queue()
        total = progress.add_task("All steps", total=len(waiting))
        bars: dict[str, Any] = {}
        listener = threading.Thread(target=_listen, args=(queue, progress, bars), daemon=True)
        listener.start()
        pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_prepare_worker, initargs=(queue, log)
        )
        running: dict[Future, Job] = {}
        try:
            while waiting or running:
                ready = [
                    job for job in waiting.values() if not set(job.needs) & _unfinished(waiting, running)
                ]
                for job in ready[: workers - len(running)]:
                    bars[job.name] = progress.add_task(f"  {job.name}", total=None)
                    running[pool.submit(_work, job)] = waiting.pop(job.name)
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    job = running.pop(future)
                    seconds, process, peak = _result(future, job)
                    outcome.seconds[job.name] = round(seconds, 1)
                    outcome.peak_rss_mb[process] = peak
                    progress.remove_task(bars.pop(job.name))
                    progress.advance(total)
                    console.print(f"  {job.name:<28} {seconds:6.1f} s")
        except BaseException:
            for process in list(pool._processes.values()):
                process.kill()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            queue.put(None)
            listener.join(timeout=5)  # before the manager ends, which the listener reads from
    return outcome


def _unfinished(waiting: dict[str, Job], running: dict[Future, Job]) -> set[str]:
    return set(waiting) | {job.name for job in running.values()}


def _result(future: Future, job: Job) -> tuple[float, int, float]:
    try:
        result = future.result()
    except Exception as error:
        raise JobError(f"{job.name}: its worker process died ({reason_of(error)})") from error
    if isinstance(result, str):
        raise JobError(f"{job.name}: {result}")
    return result


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<30}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _listen(queue, progress: Progress, bars: dict[str, Any]) -> None:
    while (message := queue.get()) is not None:
        name, done, of = message
        if name in bars:
            progress.update(bars[name], completed=done, total=of)


_queue: Any = None  # set in a worker by `_prepare_worker`


def _prepare_worker(queue, log: Path) -> None:
    global _queue
    _queue = queue
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch

    from miniature.arithmetic import pin_arithmetic

    pin_arithmetic()
    # On models this small, two processes with one thread each are faster than one with two.
    torch.set_num_threads(1)
    _watch_parent()


def _watch_parent() -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    # If the demo is killed, its workers must stop writing to a folder that a rerun will use, and the manager
    # would wait for ever.
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a child process
    wait_for([parent.sentinel])
    os._exit(1)


def _work(job: Job) -> tuple[float, int, float] | str:
    """Run a job; return (seconds, process id, peak memory in MiB), or the reason why it failed."""
    from ndino.train.manifest import peak_rss_mb

    started = last = time.monotonic()

    def report(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last > 0.5 or done == of:
            last = time.monotonic()
            _queue.put((job.name, done, of))

    try:
        job.run(report, *job.arguments)
    except KeyboardInterrupt:
        return "stopped"
    except (ValueError, RuntimeError, OSError) as error:
        return reason_of(error)
    except Exception:
        return traceback.format_exc()
    return time.monotonic() - started, os.getpid(), peak_rss_mb()
