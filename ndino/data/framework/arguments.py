"""Arguments of several data commands: a data set with its images, and the number of workers."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ndino.common.options import positive
from ndino.data.framework.layout import DATA

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


def data_file(data: Path) -> Path:
    """The file of rows that ``DATA`` names: the one in a folder, or itself; it may not exist."""
    return data / DATA if data.is_dir() else data
