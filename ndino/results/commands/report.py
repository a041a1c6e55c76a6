"""``ndino report``: a run's tables, figures and page."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ndino.common.errors import StoppedWatching, UsageError
from ndino.common.options import CommandParser, need_file, need_folder, need_no_file

if TYPE_CHECKING:
    from rich.console import Console

HELP = """
Write RUN/report/: a page with tables, figures and examples, the tables as files, and a summary in JSON.

With --leaderboard also RUN/report/leaderboard.json and .md: a row a model, with all that others need to
compare it with theirs; later reports of the run write them again. With --leaderboard FILE ... and --out
instead of RUN, put such files together; what cannot be compared stays apart, and two models of one name are
refused.

Logs that are broken, incomplete or not comparable are refused with one line that names file and reason.
"""
EXAMPLES = (
    'ndino report runs/demo --title "Miniature, drawn world"',
    "ndino report runs/italian --live",
    "ndino report runs/italian --leaderboard",
    "ndino report --leaderboard ours.json theirs.json --out leaderboard",
    "ndino report runs/italian --data data/cauldron data/mtvqa data/benchmarks",
)


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "run_folder", nargs="?", type=Path, metavar="RUN", help="folder of a run, with eval/ in it"
    )
    parser.add_argument(
        "--title", metavar="TEXT", help="title of the page (default: that of the last report, or RUN's name)"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="data folders, whose manifests give the paper's Tables 1, 2 and 4",
    )
    parser.add_argument(
        "--leaks",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE",
        help="files of ndino data leaks: how much of each benchmark the training data show",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="write RUN/live.html instead: stages that train, anew every 30 s until all have ended",
    )
    parser.add_argument(
        "--leaderboard",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="also write the run's leaderboard; with files and without RUN: put these together in --out",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to write several leaderboards that are put together"
    )


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    files: list[Path] = args.leaderboard or []
    if bool(args.run_folder) == bool(files) or bool(args.out) != bool(files):
        raise UsageError(
            "give the folder of a run, or leaderboards and where to write them (remedy: ndino report RUN "
            "--leaderboard, or ndino report --leaderboard A.json B.json --out FOLDER)"
        )
    pages = {"--title": args.title is not None, "--data": bool(args.data), "--leaks": bool(args.leaks)}
    if files:
        _refuse("leaderboards that are put together", pages | {"--live": args.live})
        return put_together(files, args.out, Console())
    if args.live:
        _refuse("stages that train", pages | {"--leaderboard": args.leaderboard is not None})
    if args.run_folder.exists() or not args.live:
        need_folder(args.run_folder, "name a run's folder")
    if args.live:
        return live(args.run_folder, Console())
    for folder in args.data:
        need_folder(folder, "name a data folder with manifest.json")
    leaderboard = args.leaderboard is not None
    report(args.run_folder, args.title, args.data, args.leaks, Console(), leaderboard=leaderboard)
    return 0


def _refuse(what: str, given: Mapping[str, bool]) -> None:
    """Refuse options that are given but change nothing about ``what``; raises UsageError."""
    for option in (option for option, is_given in given.items() if is_given):
        raise UsageError(f"{option} changes nothing about {what} (remedy: leave it out)")


def put_together(files: Sequence[Path], out: Path, console: Console) -> int:
    """Write several leaderboards as one.

    Raises ResultsError for a file that is none, or files that contradict each other.
    """
    from ndino.results.leaderboard import WRITTEN_BY, merge, read, write

    for path in files:
        if not path.is_dir():  # which is told what to do instead
            need_file(path, WRITTEN_BY)
    board = merge([(path, read(path)) for path in files])
    for path in write(board, need_no_file(out)):
        console.print(f"Leaderboard: {path}", markup=False, highlight=False, soft_wrap=True)
    return 0


def live(folder: Path, console: Console) -> int:
    """Write the page of stages that are training until all have ended or Ctrl-C, and say how they ended.

    Raises ResultsError when no stage has logged a step, StoppedWatching after Ctrl-C.
    """
    from ndino.results.live import POLL_SECONDS, RELOAD_SECONDS, is_starting, write_live

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    kept = "no page was written"
    try:
        starting = is_starting(folder)
        if starting:
            say(f"{folder}: waiting for the first logged step (Ctrl-C ends)")
        while starting:
            there = folder.exists()
            time.sleep(POLL_SECONDS)
            # A process locks the folder of its run just after making it.
            starting = is_starting(folder) or not there
        path, stages = write_live(folder)
        kept = f"{path} is kept"
        until = f"; written anew every {RELOAD_SECONDS} s until all stages have ended, or Ctrl-C"
        if all(stage.ended for stage in stages):
            until = ""
        say(f"Page: {path}{until}")
        while not all(stage.ended for stage in stages):
            time.sleep(RELOAD_SECONDS)
            path, stages = write_live(folder)
    except KeyboardInterrupt:
        raise StoppedWatching(f"stopped watching; {kept}") from None
    for stage in stages:
        if stage.problem:
            say(f"{stage.name}: {stage.problem}")
    return 0


def report(
    folder: Path,
    title: str | None,
    data: Sequence[Path],
    leaks: Sequence[Path],
    console: Console,
    *,
    leaderboard: bool,
) -> None:
    """Write the report, then print a summary and the paths of the written files.

    Raises ResultsError when logs are rejected, DataError when a data folder is.
    """
    from ndino.results.report import write_report
    from ndino.results.terminal_summary import print_summary

    written = write_report(folder, title=title, data=data, leaks=leaks, leaderboard=leaderboard)
    print_summary(written.summary, console)
    lines = [
        *(f"• {sentence}" for sentence in written.findings),
        f"Page: {written.page}",
        f"Tables: {', '.join(map(str, written.tables_files))}",
        f"Summary: {written.summary_file}",
        *(f"Leaderboard: {path}" for path in written.leaderboard_files),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
