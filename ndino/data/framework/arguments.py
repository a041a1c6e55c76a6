"""Arguments of several data commands: a data set with its images, workers, and what every source takes."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ndino.common.options import positive
from ndino.data.errors import DataError
from ndino.data.framework.layout import DATA
from ndino.data.framework.shards import Shard

# The remedy where the file of `data_file` does not exist.
NAME_DATA = "name a data folder, or a .json or .jsonl file"


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``DATA``, which `data_file` resolves, and ``--images``."""
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="a folder with data.jsonl and images/, or a .json or .jsonl file",
    )
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="folder of the images (default: images/ beside DATA)"
    )


def add_workers_argument(parser: argparse.ArgumentParser, workers: str) -> None:
    """Add ``--workers``; ``workers`` says what they are, and they are as many as this process has cores."""
    parser.add_argument(
        "--workers",
        type=positive,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help=f"{workers} (default: one for each CPU core, here %(default)s)",
    )


def add_shard_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``, ``--shard`` (by default the task of a SLURM array), ``--limit``, ``--retry-rejects``."""
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder of the result; rerun to resume"
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        default=_slurm_shard(),
        metavar="i/n",
        help="only part i of n, counted from 0; join the parts with `ndino data merge` "
        "(default: this task of a SLURM array, else everything)",
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="only the first N items of the source (default: all)"
    )
    parser.add_argument(
        "--retry-rejects",
        action="store_true",
        help="try again what was rejected for a reason that may pass now (a download, a file that was "
        "missing or broken, a time limit, an empty or cut translation); the finished rows stay",
    )


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _slurm_shard() -> str:
    # Text, not a Shard: argparse parses a default only if the option is missing, and reports its errors.
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


def data_file(data: Path) -> Path:
    """The file of rows that ``DATA`` names: the one in a folder, or itself; it may not exist."""
    return data / DATA if data.is_dir() else data
