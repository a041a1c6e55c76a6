"""The frame of every source command: numbered items become rows, shard by shard, and a killed run goes on.

A source enumerates its items in a fixed order, 0, 1, 2, ... without gaps, whatever the number of shards;
``--limit N`` is its first N items (the source cuts). The item with number k belongs to shard i of n when
``k % n == i``. What an item becomes is committed as one journal line, so that nothing is done twice::

    OUT/images/ab/ab12....jpg                          named by content, shared by all shards
    OUT/shards/00002-of-00007.partial/journal.jsonl    at work
    OUT/shards/00002-of-00007/                         whole: the journal in order, done.json
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
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from ndino.common.files import sha256_of, write_json
from ndino.common.locks import exclusive_lock
from ndino.data.errors import DataError
from ndino.data.framework.journal import Journal
from ndino.data.framework.layout import BEGUN, DONE, JOURNAL, PARTIAL, refuse_other_settings, remove_left_over
from ndino.formats.llava_json import fault_of

T = TypeVar("T")

LOOK_AHEAD = 4  # items read for each worker


@dataclass(frozen=True)
class Shard:
    """Part ``index`` (from 0) of ``count``."""

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
            raise DataError(f"shard {text!r}: expected i/n, counted from 0 (example: 0/7 to 6/7)")
        return shard

    @property
    def name(self) -> str:
        """Its folder below ``OUT/shards``."""
        return f"{self.index:05d}-of-{self.count:05d}"

    def holds(self, number: int) -> bool:
        """Whether the item with this number is one of its own."""
        return number % self.count == self.index


@dataclass(frozen=True)
class Reject:
    """What could not be used: ``where`` it is, a short stable ``reason`` to count by, what is particular."""

    where: str
    reason: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemOutcome:
    """What an item became; ``counts`` are summed into the manifest under keys like ``task/what``."""

    rows: tuple[dict[str, Any], ...] = ()
    rejects: tuple[Reject, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


def add_shard_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``, ``--shard`` (default: this task of a SLURM array, else all) and ``--limit``."""
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the result")
    parser.add_argument(
        "--shard",
        type=_shard,
        default=_slurm_shard(),
        metavar="i/n",
        help="only part i of n, counted from 0; join them with `ndino data merge` "
        "(default: this task of a SLURM array, else everything)",
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="only the first N items of the source (default: all)"
    )


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """For argparse: a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _slurm_shard() -> str:
    # As text: argparse reads a default only where the option is not given, and reports it like the option.
    task, first, step, count = (
        os.environ.get(f"SLURM_ARRAY_TASK_{name}", default)
        for name, default in (("ID", ""), ("MIN", "0"), ("STEP", "1"), ("COUNT", ""))
    )
    if not task or not count:
        return "0/1"
    try:
        return f"{(int(task) - int(first)) // int(step)}/{int(count)}"
    except (ValueError, ZeroDivisionError):
        return f"{task}/{count}"


class ShardWriter:
    """Context manager over one shard of ``out``; a second process on the same shard is refused.

    Args:
        settings: all that the result depends on, as JSON: ``source``, ``lang``, ``translator`` (identity),
            ``inputs`` (a list of ``{"file": ..., "sha256": ...}``), options.
        conversations: rows are LLaVA rows; one that training would refuse is set aside as a reject.

    Attributes:
        whole: the shard was finished before; there is nothing to do.
        folder: the shard's own folder, for files like its translation memory.

    Raises:
        DataError: on entry, when ``out`` holds something made with other settings or another number of
            shards, or another process is at work on this shard.
    """

    def __init__(
        self, out: Path, shard: Shard, settings: dict[str, Any], *, conversations: bool = True
    ) -> None:
        self._images, self._shards = out / "images", out / "shards"
        self._done_folder = self._shards / shard.name
        self._settings = json.loads(json.dumps(settings))
        self._conversations = conversations
        self._lock = threading.Lock()
        self._held = contextlib.ExitStack()
        self.shard = shard
        self.folder = self._shards / f"{shard.name}{PARTIAL}"
        self.whole = False

    def __enter__(self) -> ShardWriter:
        self._shards.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            lock = self._shards / f".{self.shard.name}.lock"
            busy = f"{self.folder}: another process is at work on this shard (remedy: let it end)"
            held.enter_context(exclusive_lock(lock, busy))
            refuse_other_settings(self._shards, self._settings, self.shard.count)
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
        """Whether this item is of this shard and not committed yet."""
        return not self.whole and self.shard.holds(number) and number not in self._journal

    def save_image(self, content: bytes, suffix: str) -> str:
        """Store an image under its content's hash; returns what a row's ``image`` says. Thread-safe."""
        digest = hashlib.sha256(content).hexdigest()
        name = f"{digest[:2]}/{digest}{suffix}"
        path = self._images / name
        if not path.is_file() or path.stat().st_size != len(content):
            # Written in the shard's own folder: a killed run leaves nothing among the images.
            temporary = self.folder / f".image.{threading.get_ident()}.tmp"
            temporary.write_bytes(content)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, path)
        return name

    def commit(self, number: int, outcome: ItemOutcome) -> None:
        """Write down what an item became, for good. Thread-safe.

        Raises:
            ValueError: the item is not wanted; a fault of the caller.
        """
        rows, rejects = list(outcome.rows), [asdict(reject) for reject in outcome.rejects]
        if self._conversations:
            faults = [fault_of(row) for row in rows]
            rejects += [
                asdict(Reject(str(row.get("id")), f"not a LLaVA row: {fault}", {"row": row}))
                for row, fault in zip(rows, faults, strict=True)
                if fault
            ]
            rows = [row for row, fault in zip(rows, faults, strict=True) if not fault]
        with self._lock:
            if not self.wants(number):
                raise ValueError(f"item {number} is not of shard {self.shard.name} or was committed before")
            self._journal.append(number, {"rows": rows, "rejects": rejects, "counts": outcome.counts})

    def finish(self) -> None:
        """Bring the journal into order and give the shard its final name.

        Raises:
            ValueError: an item was left out; a fault of the caller.
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
                "seconds": round(time.monotonic() - self._begun, 1),  # of the start that finished it
            },
        )
        os.replace(self.folder, self._done_folder)
        self.folder, self.whole = self._done_folder, True


def run_items(
    writer: ShardWriter,
    items: Iterable[tuple[int, T]],
    work: Callable[[T], ItemOutcome],
    *,
    desc: str,
    total: int | None = None,
    workers: int = 1,
    stop: Callable[[], None] | None = None,
) -> None:
    """Work on the wanted ones of the numbered ``items`` and commit each as soon as it is done.

    With several ``workers``, ``work`` runs in as many threads; a killed run loses what these had in hand, an
    item each. An error, or Ctrl-C, ends the run after the items in hand have been committed; ``stop`` is
    called first, so that those that only wait may give up.
    """

    def do(number: int, item: T) -> None:
        # Not where it is waited for: there the next item may be long in coming.
        writer.commit(number, work(item))

    with tqdm(desc=desc, total=total, unit=" items") as progress:
        if workers == 1:
            for number, item in items:
                if writer.wants(number):
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

        with ThreadPoolExecutor(workers) as pool:
            try:
                for number, item in items:
                    if not writer.wants(number):
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
    items: Iterable[tuple[int, T]],
    work: Callable[[list[T]], list[ItemOutcome]],
    *,
    desc: str,
    total: int | None = None,
    size: int,
) -> None:
    """As `run_items`, ``size`` wanted items at a time; a killed run loses at most the batch in hand."""
    with tqdm(desc=desc, total=total, unit=" items") as progress:

        def wanted() -> Iterable[tuple[int, T]]:
            for number, item in items:
                if writer.wants(number):
                    yield number, item
                else:
                    progress.update()

        remaining = iter(wanted())
        while batch := list(itertools.islice(remaining, size)):
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
    """Do one shard (``body`` works through its items), and merge where it is the only one.

    ``args`` holds what `add_shard_arguments` added; ``--limit`` joins the settings here. Returns the exit
    status: 1 when not one row came out of everything.

    Raises:
        DataError: as `ShardWriter`.
    """
    from ndino.data.framework.merge import is_merged, merge, summary

    settings = {**settings, "limit": args.limit}
    with ShardWriter(args.out, args.shard, settings, conversations=conversations) as writer:
        already = writer.whole
        if not already:
            body(writer)
            writer.finish()
    if args.shard.count > 1:
        print(
            f"{args.out}: shard {args.shard.index}/{args.shard.count} is {'already ' * already}whole; "
            f"when all are: ndino data merge {args.out}"
        )
        return 0
    if already and is_merged(args.out):
        print(f"{args.out}: already whole")
        return 0
    manifest = merge(args.out)
    print(f"{args.out}: {summary(manifest)}")
    if not manifest["rows"]["total"]:
        print(f"{args.out}: not one row came out; the reasons are in rejects.jsonl", file=sys.stderr)
        return 1
    return 0
