"""Check every row and every image of a LLaVA data set, before hours of training are spent on it."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from ndino.common.errors import printable, shown
from ndino.common.files import sha256_of
from ndino.common.images import find_image, has_several_frames
from ndino.common.options import need_file, need_folder
from ndino.data.errors import DataError
from ndino.data.framework.arguments import NAME_DATA, add_data_arguments, add_workers_argument, data_file
from ndino.data.framework.folders import CHANGED, read_manifest, way_back
from ndino.data.framework.layout import IMAGES
from ndino.formats.image_files import image_fault
from ndino.formats.llava_json import Conversation, ConversationError, read_conversations

# What `ndino.data.framework.shards.ShardWriter.save_image` names an image: by the SHA-256 of its file.
NAMED_BY_CONTENT = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{62})\.\w+")
CHUNK = 32  # images sent to a worker process at a time


@dataclass
class CheckReport:
    """What was counted and found; ``faults`` are (row, what is wrong), with row 0 for the file itself.

    ``rows`` are those without a fault; ``turns`` and ``images`` are of all rows that could be read. ``notes``
    are of rows that can be used.
    """

    rows: int = 0
    turns: int = 0
    images: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "check",
        help="validate any LLaVA data set, row by row",
        description="Check a LLaVA data set: shape, roles, one <image> for each image, unique ids, and "
        "that every image can be decoded to its end. Prints what is wrong with each row, and exits with 1 if "
        "anything is. Training refuses the same rows, but for ids that are not unique.",
        examples=["ndino data check data/pt", "ndino data check own.json --images photos"],
    )
    add_data_arguments(command)
    add_workers_argument(command, "processes that open images")
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.images is not None:
        need_folder(args.images, "name the folder that holds the images")
    file = data_file(args.data)
    report = check(file, args.images or file.parent / IMAGES, workers=args.workers)
    for row, fault in sorted(report.faults, key=lambda item: item[0]):
        print(printable(f"{file} row {row}: {fault}" if row else f"{file}: {fault}"))
    for row, note in sorted(report.notes):
        print(printable(f"{file} row {row}: note: {note}"), file=sys.stderr)
    print(
        f"{file}: {report.rows:,} good rows, {report.turns:,} turns, {report.images:,} images, "
        f"{len(report.faults):,} faults",
        file=sys.stderr if report.faults else sys.stdout,
    )
    return 1 if report.faults else 0


def check(file: Path, images: Path, *, workers: int = 1) -> CheckReport:
    """Check the LLaVA JSON or JSONL ``file`` with its images in the folder ``images``.

    Raises:
        UsageError: the file does not exist.
        DataError: a worker process was killed.
    """
    need_file(file, NAME_DATA)
    report = CheckReport()
    good: set[int] = set()
    used: dict[str, list[int]] = {}
    seen: dict[str, int] = {}
    for conversation in _rows(file, report):
        good.add(conversation.row)
        report.turns += len(conversation.turns)
        first = seen.setdefault(conversation.id, conversation.row)
        if first != conversation.row:
            report.faults.append(
                (
                    conversation.row,
                    f"id {conversation.id!r} is also the id of row {first} (remedy: change one of them)",
                )
            )
        for image in conversation.images:
            used.setdefault(image, []).append(conversation.row)
    report.images = len(used)
    for image, (fault, frames) in zip(used, _looked_at(images, list(used), workers), strict=True):
        if fault:
            report.faults += [(row, fault) for row in used[image]]
        if frames:
            note = f"image {shown(image)} has several frames or pages, of which the first is used"
            report.notes += [(row, note) for row in used[image]]
    report.rows = len(good.difference(row for row, _ in report.faults))
    if not good and not report.faults:
        report.faults.append((0, "no rows (remedy: write the file again)"))
    manifest = read_manifest(file.parent)
    if manifest and file.name in manifest["files"] and manifest["files"][file.name] != sha256_of(file):
        report.faults.append((0, f"{CHANGED} (remedy: {way_back(file.parent)})"))
    return report


def _rows(file: Path, report: CheckReport) -> Iterator[Conversation]:
    rejects: list[ConversationError] = []
    try:
        rows = read_conversations(file, rejects=rejects)
        yield from tqdm(rows, desc=f"Reading {file.name}", unit=" rows", leave=False)
    except ConversationError as error:  # nothing after it can be read
        rejects.append(error)
    report.faults += [(error.row, f"{error.reason} (remedy: {error.remedy})") for error in rejects]


def _looked_at(folder: Path, names: Sequence[str], workers: int) -> Iterator[tuple[str | None, bool]]:
    """`_look_at` of each image, in order."""
    find = partial(_look_at, folder)
    bar = partial(tqdm, total=len(names), desc="Opening images", unit=" images", leave=False)
    if workers == 1 or len(names) <= CHUNK:
        yield from bar(map(find, names))
        return
    # Not forked: the progress bar runs a thread, whose lock a fork could copy while it is held.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield from bar(pool.map(find, names, chunksize=CHUNK))
        except BrokenProcessPool:
            raise DataError(
                "a worker process was killed, probably out of memory (remedy: --workers 1)"
            ) from None


def _look_at(folder: Path, name: str) -> tuple[str | None, bool]:
    """Why the image ``name`` cannot be used, or None; and whether it has more frames than the one used."""
    fault = image_fault(name, folder)
    if fault is not None:
        return fault, False
    path = find_image(name, folder)
    if (named := NAMED_BY_CONTENT.fullmatch(name)) and sha256_of(path) != named[2]:
        return (
            f"image {shown(name)} holds another image than it is named after (remedy: rebuild the folder)",
            False,
        )
    return None, has_several_frames(path)
