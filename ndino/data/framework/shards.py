"""The framework of every source command: numbered items become rows, shard by shard; rerun to resume.

A source numbers its items 0, 1, 2, ... without gaps, in an order that does not depend on the number of
shards; ``--limit N`` keeps the first N (the source stops there). Item k belongs to shard i of n if ``k % n ==
i``. The outcome of an item is committed as one journal line, and a rerun skips the items in the journal::

    OUT/images/ab/ab12....jpg                          named by content, shared by all shards
    OUT/shards/00002-of-00007.partial/journal.jsonl    unfinished
    OUT/shards/00002-of-00007/                         complete: the sorted journal, done.json
    OUT/data.jsonl, rejects.jsonl, manifest.json       after `ndino.data.framework.merge`
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from ndino.common.files import sha256_of, write_json
from ndino.common.interrupts import raise_if_interrupted
from ndino.common.locks import exclusive_lock
from ndino.data.errors import DataError
from ndino.data.framework.journal import Journal
from ndino.data.framework.layout import BEGUN, DONE, JOURNAL, PARTIAL, refuse_other_settings, remove_left_over
from ndino.data.framework.retries import continued
from ndino.formats.llava_json import fault_of

T = TypeVar("T")

LOOK_AHEAD = 4  # items submitted per worker: enough that none waits, few enough to keep in memory


@dataclass(frozen=True)
class Shard:
    """Shard ``index`` (from 0) of ``count``."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``i/n``.

        Raises:
            DataError: it is not ``i/n`` with 0 <= i < n.
        """
        found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text.strip(), re.ASCII)
        shard = cls(*map(int, found.groups())) if found else None
        if shard is None or shard.index >= shard.count:
            raise DataError(f"shard {text!r}: not i/n, counted from 0 (remedy: for seven shards, 0/7 to 6/7)")
        return shard

    @property
    def name(self) -> str:
        """The name of its folder in ``OUT/shards``."""
        return f"{self.index:05d}-of-{self.count:05d}"

    def holds(self, number: int) -> bool:
        """Whether the item with this number belongs to this shard."""
        return number % self.count == self.index


@dataclass(frozen=True)
class Reject:
    """Something that was rejected.

    Attributes:
        where: its place in the source.
        reason: short and the same for all such rejects, so that they can be counted.
        detail: what is specific to this one.
        source: the ``source`` that its row would have had, for the manifest's pass rates; empty for the
            command's.
    """

    where: str
    reason: str
    detail: dict[str, Any] = field(default_factory=dict)
    source: str = ""

    def as_json(self) -> dict[str, Any]:
        """Its line in ``rejects.jsonl``."""
        found = asdict(self)
        return found if self.source else {key: value for key, value in found.items() if key != "source"}


@dataclass(frozen=True)
class ItemOutcome:
    """What became of an item; the manifest sums ``counts``, whose keys are like ``task/what``."""

    rows: tuple[dict[str, Any], ...] = ()
    rejects: tuple[Reject, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


class ShardWriter:
    """Context manager that writes one shard of ``out`` and locks it against other processes.

    Args:
        settings: everything the result depends on, as JSON: ``source``, ``lang``, ``translator`` (identity),
            ``inputs`` (a list of ``{"file": ..., "sha256": ...}``) and options.
        conversations: rows are LLaVA rows; those that training would refuse become rejects.
        retry: items that were rejected for a reason that may pass are wanted again, see `retries`.

    Attributes:
        whole: the shard is complete, from an earlier run or after `finish`.
        folder: the shard's own folder, for files such as its translation memory.

    Raises:
        DataError: on entry, if ``out`` was made with other settings or another number of shards.
        BusyError: on entry, if another process is working on this shard.
    """

    def __init__(
        self,
        out: Path,
        shard: Shard,
        settings: dict[str, Any],
        *,
        conversations: bool = True,
        retry: bool = False,
    ) -> None:
        self._images, self._shards = out / "images", out / "shards"
        self._done_folder = self._shards / shard.name
        self._settings = json.loads(json.dumps(settings))
        self._conversations, self._retry = conversations, retry
        self._lock = threading.Lock()
        self._held = contextlib.ExitStack()
        self.shard = shard
        self.folder = self._shards / f"{shard.name}{PARTIAL}"
        self.whole = False

    def __enter__(self) -> ShardWriter:
        self._shards.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            lock = self._shards / f".{self.shard.name}.lock"
            busy = f"{self.folder}: another process is working on this shard (remedy: wait for it)"
            held.enter_context(exclusive_lock(lock, busy))
            refuse_other_settings(self._shards, self._settings, self.shard.count, retry=self._retry)
            self._settings = continued(self._done_folder, self.folder, self._settings, retry=self._retry)
            self.whole = (self._done_folder / DONE).is_file()
            if self.whole:
                self.folder = self._done_folder
            else:
                self.folder.mkdir(exist_ok=True)
                remove_left_over(self.folder)
                write_json(self.folder / BEGUN, self._settings)
                self._journal = Journal(self.folder / JOURNAL)
                held.callback(self._journal.close)
            self._begun = time.monotonic()
            self._held = held.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    def wants(self, number: int) -> bool:
        """Whether this item belongs to this shard and is not committed yet."""
        return not self.whole and self.shard.holds(number) and number not in self._journal

    def save_image(self, content: bytes, suffix: str) -> str:
        """Store an image under its content's hash; returns the path for a row's ``image``. Thread-safe."""
        digest = hashlib.sha256(content).hexdigest()
        name = f"{digest[:2]}/{digest}{suffix}"
        path = self._images / name
        if not path.is_file() or path.stat().st_size != len(content):
            # Written in the shard's folder first, so that a killed run leaves no temporary file among the
            # images.
            temporary = self.folder / f".image.{threading.get_ident()}.tmp"
            temporary.write_bytes(content)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, path)
        return name

    def commit(self, number: int, outcome: ItemOutcome) -> None:
        """Write the outcome of an item to the journal. Thread-safe.

        Raises:
            ValueError: the item is of another shard or already committed, an error of the caller.
        """
        rows, rejects = list(outcome.rows), [reject.as_json() for reject in outcome.rejects]
        if self._conversations:
            faults = [fault_of(row) for row in rows]
            rejects += [
                Reject(
                    str(row.get("id")), f"not a LLaVA row: {fault}", {"row": row}, str(row.get("source", ""))
                ).as_json()
                for row, fault in zip(rows, faults, strict=True)
                if fault
            ]
            rows = [row for row, fault in zip(rows, faults, strict=True) if not fault]
        with self._lock:
            if not self.wants(number):
                raise ValueError(f"item {number} is not of shard {self.shard.name} or already committed")
            self._journal.append(number, {"rows": rows, "rejects": rejects, "counts": outcome.counts})

    def finish(self) -> None:
        """Sort the journal and give the shard its final name.

        Raises:
            ValueError: an item was never committed, an error of the caller.
        """
        if self.whole:
            return
        numbers = self._journal.numbers()
        expected = range(
            self.shard.index, self.shard.index + self.shard.count * len(numbers), self.shard.count
        )
        if missing := sorted(set(expected) - set(numbers)):
            raise ValueError(f"shard {self.shard.name}: item {missing[0]} was never committed")
        self._journal.sort()
        write_json(
            self.folder / DONE,
            {
                "shard": asdict(self.shard),
                "settings": self._settings,
                "items": len(numbers),
                "sha256": sha256_of(self.folder / JOURNAL),
                "seconds": round(time.monotonic() - self._begun, 1),  # of the last run only
            },
        )
        os.replace(self.folder, self._done_folder)
        self.folder, self.whole = self._done_folder, True


def run_items(
    writer: ShardWriter,
    items: Iterable[tuple[int, T | None]],
    work: Callable[[T], ItemOutcome],
    *,
    desc: str,
    total: int | None = None,
    workers: int = 1,
    stop: Callable[[], None] | None = None,
) -> None:
    """Run ``work`` on the numbered ``items`` that the writer wants and commit each as soon as it is done.

    With several ``workers``, ``work`` runs in that many threads, and a killed run loses at most one item per
    thread. After an error or Ctrl-C, the items that are being worked on are still committed; ``stop`` is
    called first, so that threads that only wait can give up.

    A source may yield None in place of an item that the writer does not want, to save reading it.
    """

    def do(number: int, item: T) -> None:
        # Committed in the worker, not by the main thread, which may be waiting for the next item.
        writer.commit(number, work(item))

    with tqdm(desc=desc, total=total, unit=" items") as progress:
        if workers == 1:
            for number, item in items:
                raise_if_interrupted()
                if item is not None and writer.wants(number):
                    do(number, item)
                progress.update()
            return
        running: set[Future[None]] = set()

        def settle(at_most: int) -> None:
            while len(running) > at_most:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    running.remove(future)
                    future.result()
                    progress.update()
                raise_if_interrupted()

        with ThreadPoolExecutor(workers) as pool:
            try:
                for number, item in items:
                    if item is None or not writer.wants(number):
                        progress.update()
                        continue
                    running.add(pool.submit(do, number, item))
                    settle(LOOK_AHEAD * workers - 1)
                settle(0)
            except BaseException:
                if stop is not None:
                    stop()
                pool.shutdown(cancel_futures=True)
                raise


def run_batches(
    writer: ShardWriter,
    items: Iterable[tuple[int, T | None]],
    work: Callable[[list[T]], list[ItemOutcome]],
    *,
    desc: str,
    total: int | None = None,
    size: int,
) -> None:
    """As `run_items`, with ``size`` items per call of ``work``; a killed run loses at most one batch."""
    with tqdm(desc=desc, total=total, unit=" items") as progress:

        def wanted() -> Iterable[tuple[int, T]]:
            for number, item in items:
                if item is not None and writer.wants(number):
                    yield number, item
                else:
                    progress.update()

        remaining = iter(wanted())
        while batch := list(itertools.islice(remaining, size)):
            raise_if_interrupted()
            outcomes = work([item for _, item in batch])
            for (number, _), outcome in zip(batch, outcomes, strict=True):
                writer.commit(number, outcome)
            progress.update(len(batch))


def run_source(
    args: argparse.Namespace,
    settings: dict[str, Any],
    body: Callable[[ShardWriter], None],
    *,
    conversations: bool = True,
) -> int:
    """Write one shard (``body`` works through its items), and merge if it is the only one.

    Args:
        args: parsed options, those of `add_shard_arguments` among them; ``--limit`` becomes a setting.

    Returns:
        The exit status: 1 if no row came out of the whole source.

    Raises:
        DataError, BusyError: as `ShardWriter` and `ndino.data.framework.merge.merge`.
    """
    from ndino.data.framework.merge import finished_again, merge, report

    settings = {**settings, "limit": args.limit}
    with ShardWriter(
        args.out, args.shard, settings, conversations=conversations, retry=args.retry_rejects
    ) as writer:
        already = writer.whole
        if not already:
            body(writer)
            writer.finish()
    if args.shard.count > 1:
        print(
            f"{args.out}: shard {args.shard.index}/{args.shard.count} is {'already ' * already}complete; "
            f"when all are: ndino data merge {args.out}"
        )
        return 0
    return finished_again(args.out) if already else report(args.out, merge(args.out))
