"""``ndino compare``: scores with intervals, and paired tests of every two models."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser
from ndino.results.logs import ModelLogs, ResultsError, check_comparable, read_model, unnamed_images

if TYPE_CHECKING:
    from rich.console import Console

HELP = """
Print the scores of two or more evaluated models with confidence intervals, and paired tests of every two.

Logs that are broken, incomplete or not comparable are refused with one line that names file and reason.
"""
EXAMPLES = (
    "ndino compare runs/demo --models IT PT+IT",
    "ndino compare runs/demo/eval/IT elsewhere/eval/mblip",
)


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="a run's folder (with --models), or two or more evaluation folders RUN/eval/MODEL",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        metavar="NAME",
        help="the models of the run to compare, space-separated",
    )


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    compare(args.paths, args.models, Console())
    return 0


def _models(paths: Sequence[Path], names: Sequence[str]) -> list[ModelLogs]:
    """Read the models to compare: from one run and names, or from evaluation folders."""
    if names and len(paths) > 1:
        raise UsageError(
            f"{paths[1]}: --models selects models of one run, but several folders were given "
            "(remedy: give one run folder)"
        )
    folders = [paths[0] / "eval" / name for name in names] or paths
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                f"{folder}: evaluation folder not found "
                f"(remedy: evaluate the model first, with --out {folder.parent})"
            )
    # Two folders with the same name, of different runs, are told apart by their full paths.
    ambiguous = len({path.resolve().name for path in folders}) < len(folders)
    shown = names or [str(path) if ambiguous else path.resolve().name for path in folders]
    return [read_model(folder, name=name) for folder, name in zip(folders, shown, strict=True)]


def compare(paths: Sequence[Path], names: Sequence[str], console: Console) -> None:
    """Print scores with confidence intervals, and a paired test for every pair of models.

    Raises:
        UsageError: fewer than two models, or one that was not evaluated.
        ResultsError: no common task, or logs that cannot be compared.
    """
    from ndino.results.comparison import compare_pairs
    from ndino.results.render import print_tables
    from ndino.results.summary import summarise_models
    from ndino.results.tables import build_tables

    models = _models(paths, names)
    if len({model.name for model in models}) < max(2, len(models)):
        raise UsageError(
            f"{paths[0]}: a comparison needs two or more different models "
            "(remedy: give RUN --models A B, or evaluation folders)"
        )
    check_comparable(models)
    tests = compare_pairs([*itertools.combinations(models, 2)])
    if not tests:
        remedy = "evaluate them on the same tasks"
        raise ResultsError(paths[0], "the models have no task in common", remedy=remedy)
    summary = {
        "models": summarise_models(models),
        "perplexity": {},
        "tests": tests,
        "notes": [*(note for model in models for note in model.notes), *unnamed_images(models)],
    }
    print_tables([table for table in build_tables(summary) if table.key != "more"], console)
    for note in summary["notes"]:
        console.print(f"Note: {note}", markup=False, highlight=False, soft_wrap=True)
