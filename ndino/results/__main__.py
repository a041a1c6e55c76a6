"""Compare evaluated models and report on a run.

    python -m ndino.results compare runs/demo --models IT PT+IT
    python -m ndino.results compare runs/demo/eval/IT elsewhere/eval/mblip    # evaluation folders
    python -m ndino.results report runs/demo --title "Miniature, drawn world"
    python -m ndino.results report runs/italian --data data/cauldron data/mtvqa data/benchmarks

Broken, incomplete or incomparable logs are refused with one line that names file and reason, exit status 2.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ndino.common.errors import reason_of, remedy_for
from ndino.common.startup import prepare_process
from ndino.data.errors import DataError
from ndino.results.logs import ModelLogs, ResultsError, check_comparable, read_model
from ndino.results.render import print_tables
from ndino.results.report import write_report
from ndino.results.summary import compare_pair, summarise_task
from ndino.results.tables import build_tables
from ndino.results.terminal_summary import print_summary

REFUSED = 2


def _models(paths: Sequence[Path], names: Sequence[str]) -> list[ModelLogs]:
    """Read the models to compare: from one run and names, or from evaluation folders."""
    if not names:
        # Two folders with the same name, of different runs, are told apart by their full paths.
        ambiguous = len({path.resolve().name for path in paths}) < len(paths)
        return [read_model(path, name=str(path) if ambiguous else path.resolve().name) for path in paths]
    if len(paths) > 1:
        raise ResultsError(
            paths[1],
            "--models selects models of one run, but several folders were given",
            remedy="give one run folder",
        )
    return [read_model(paths[0] / "eval" / name, name=name) for name in names]


def compare(paths: Sequence[Path], names: Sequence[str], console: Console) -> None:
    """Print scores with confidence intervals, and a paired test for every pair of models.

    Raises ResultsError when there are fewer than two models, when they share no task, or when their logs
    cannot be compared.
    """
    models = _models(paths, names)
    if len({model.name for model in models}) < max(2, len(models)):
        remedy = "give RUN --models A B, or evaluation folders"
        raise ResultsError(paths[0], "a comparison needs two or more different models", remedy=remedy)
    check_comparable(models)
    tests = [row for a, b in itertools.combinations(models, 2) for row in compare_pair(a, b)]
    if not tests:
        remedy = "evaluate them on the same tasks"
        raise ResultsError(paths[0], "the models have no task in common", remedy=remedy)
    summary = {
        "models": {m.name: {task: summarise_task(log) for task, log in m.tasks.items()} for m in models},
        "perplexity": {},
        "mcnemar": tests,
    }
    print_tables([table for table in build_tables(summary) if table.key != "more"], console)


def report(folder: Path, title: str | None, data: Sequence[Path], console: Console) -> None:
    """Write the report, then print a summary and the paths of the written files.

    Raises ResultsError when logs are rejected, DataError when a data folder is.
    """
    written = write_report(folder, title=title, data=data)
    print_summary(written.summary, console)
    lines = [
        *(f"• {sentence}" for sentence in written.findings),
        f"Page: {written.page}",
        f"Tables: {', '.join(map(str, written.tables_files))}",
        f"Summary: {written.summary_file}",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ndino.results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    comparing = commands.add_parser(
        "compare", help="scores, intervals and paired tests of two or more models"
    )
    comparing.add_argument("paths", nargs="+", type=Path, metavar="RUN", help="a run, or evaluation folders")
    comparing.add_argument("--models", nargs="+", default=[], metavar="NAME", help="models of the run")
    reporting = commands.add_parser("report", help="write RUN/report/: page, Markdown tables, summary")
    reporting.add_argument("run", type=Path, metavar="RUN")
    reporting.add_argument("--title", help="title of the page")
    data_help = "data folders, for the paper's Tables 1, 2 and 4 from their manifests"
    reporting.add_argument("--data", nargs="+", default=[], type=Path, metavar="FOLDER", help=data_help)
    chosen = parser.parse_args(arguments)
    console = Console()
    try:
        if chosen.command == "compare":
            compare(chosen.paths, chosen.models, console)
        else:
            report(chosen.run, chosen.title, chosen.data, console)
    except (ResultsError, DataError) as error:
        print(f"ndino.results: {error}", file=sys.stderr)
        return REFUSED
    except OSError as error:
        remedy = remedy_for(error, "give a folder that can be written")
        print(f"ndino.results: {reason_of(error)} (remedy: {remedy})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
