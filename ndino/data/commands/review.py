"""Have people judge a sample of a data set: a page to send them, and what their verdicts amount to."""

from __future__ import annotations

import argparse
from pathlib import Path

from ndino.common.files import sha256_of, write_json, write_text
from ndino.common.options import positive
from ndino.data.framework.card import card, review_lines
from ndino.data.framework.folders import DataFolder, open_folder, refuse_changed
from ndino.data.framework.layout import CARD, MANIFEST
from ndino.data.review.sample import count_rows, sample_rows, sources_by_id
from ndino.data.review.verdicts import read_verdicts, review_of

PAGE = "review.html"


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "review",
        help="a sample of rows for people to judge, and what they say",
        description="Write FOLDER/review.html: a sample of rows with images, originals and texts, as many of "
        "each source, to judge by mouse or keys. It is one file that loads and sends nothing; it keeps the "
        "verdicts in the browser and saves them as JSON. With --read, print and record what share of each "
        "source was accepted, with Wilson's 95 % interval, and Cohen's kappa of each two reviewers.",
        examples=[
            "ndino data review data/it --n 200",
            "ndino data review data/it --read verdicts-it-ada.json verdicts-it-bruno.json",
        ],
    )
    command.add_argument("folder", type=Path, metavar="FOLDER", help="a finished data folder")
    command.add_argument(
        "--n", type=positive, default=200, metavar="N", help="rows on the page (default: %(default)s)"
    )
    command.add_argument(
        "--seed", type=int, default=42, metavar="N", help="seed of the sample (default: %(default)s)"
    )
    command.add_argument(
        "--read",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="record the verdicts in these files, one for each reviewer, space-separated",
    )
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    folder = open_folder(args.folder)
    digest = sha256_of(folder.data)
    refuse_changed(folder, digest)
    if args.read:
        return _read(folder, digest, args.read)
    from ndino.data.review.page import render_sheet

    rows = sample_rows(folder, args.n, args.seed)
    write_text(folder.path / PAGE, render_sheet(folder, digest, rows))
    size = (folder.path / PAGE).stat().st_size / 1024**2
    print(f"{folder.path / PAGE}: {len(rows):,} rows, {size:,.1f} MiB")
    return 0


def _read(folder: DataFolder, digest: str, files: list[Path]) -> int:
    rows = count_rows(folder)
    found = read_verdicts(files, digest, sources_by_id(folder))
    manifest = folder.manifest
    review = review_of(found, rows)
    print("\n".join(review_lines(review)))
    if manifest is None:
        print(f"{folder.path}: no {MANIFEST}, so nothing is recorded there")
        return 0
    manifest["review"] = review
    write_text(folder.path / CARD, card(manifest))
    write_json(folder.path / MANIFEST, manifest)
    print(f"recorded in {folder.path / MANIFEST} and {CARD}")
    return 0
