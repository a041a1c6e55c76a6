"""``ndino compare``: scores with intervals, and paired tests of every two models."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser

# What reads logs and tests scores takes seconds to import, so it is imported where it is used.
if TYPE_CHECKING:
    from rich.console import Console

    from ndino.results.logs import ModelLogs

HELP = """
Print the scores of two or more evaluated models with confidence intervals, and paired tests of every two;
also their perplexities (RUN/ppl/MODEL), where both have them.

Logs that are broken, incomplete or not comparable are refused with one line that names file and reason. A
task whose sample log has no score to compare is left out and named.
"""
EXAMPLES = (
    "ndino compare runs/demo --models IT PT+IT",
    "ndino compare runs/demo/eval/IT elsewhere/eval/mblip",
    "ndino compare logs/org__a logs/org__b --metric acc --cluster doc.image_id",
)


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="a run's folder (with --models), or two or more evaluation folders RUN/eval/MODEL, or sample "
        "logs of lmms-eval or lm-evaluation-harness (files, or a folder a model)",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        metavar="NAME",
        help="the models of the run to compare, space-separated",
    )
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="of sample logs (default: the first with scores from 0 to 1, or error rates)",
    )
    parser.add_argument(
        "--cluster",
        metavar="FIELD",
        help="field of sample logs whose equal values mean the same image, such as doc.image_id (default: "
        "the image, if the log names it)",
    )


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    compare(args.paths, args.models, Console(), metric=args.metric, cluster=args.cluster)
    return 0


def _named_paths(paths: Sequence[Path], names: Sequence[str]) -> list[tuple[str, Path]]:
    """The models to compare: of one run and names, evaluation folders, or sample logs."""
    if names and len(paths) > 1:
        raise UsageError(
            f"{paths[1]}: --models selects models of one run, but several folders were given "
            "(remedy: give one run folder)"
        )
    given = [paths[0] / "eval" / name for name in names] or paths
    for path in given:
        if not path.exists():
            raise UsageError(
                f"{path}: evaluation folder not found "
                f"(remedy: evaluate the model first, with --out {path.parent})"
            )
    shown = names or _shown_names(given)
    return [*zip(shown, given, strict=True)]


def _perplexity_folder(path: Path) -> Path | None:
    """Where ``ndino perplexity`` puts what belongs to RUN/eval/MODEL; None for other paths."""
    folder = Path(os.path.abspath(path))
    return folder.parents[1] / "ppl" / folder.name if folder.parent.name == "eval" else None


def _shown_names(given: Sequence[Path]) -> list[str]:
    """A name for each model: its folder's, or that of a renamed log; full paths where these are the same."""
    from ndino.results.logs import task_of

    names = [
        path.stem if path.is_file() and task_of(path) is None else _folder(path).resolve().name
        for path in given
    ]
    return names if len({*names}) == len(names) else [str(path) for path in given]


def _folder(path: Path) -> Path:
    return path.parent if path.is_file() else path


def _read(path: Path, name: str, metric: str | None, cluster: str | None) -> ModelLogs:
    from ndino.results.logs import read_foreign, read_model, sample_logs

    if path.is_dir() and (path / "results.json").exists():
        if metric or cluster:
            raise UsageError(
                f"{path}: --metric and --cluster are for sample logs of lmms-eval and lm-evaluation-harness "
                "(remedy: leave them out)"
            )
        return read_model(path, name=name)
    logs = sample_logs(path)
    return read_foreign(logs, name, metric=metric, cluster=cluster) if logs else read_model(path, name=name)


def compare(
    paths: Sequence[Path],
    names: Sequence[str],
    console: Console,
    *,
    metric: str | None = None,
    cluster: str | None = None,
) -> None:
    """Print scores with confidence intervals, perplexities, and paired tests for every pair of models.

    Raises:
        UsageError: fewer than two models, or one that was not evaluated.
        ResultsError: no common task, or logs that cannot be compared.
    """
    from ndino.results.comparison import compare_pairs, perplexity_figures
    from ndino.results.logs import ResultsError, check_comparable, unnamed_images
    from ndino.results.logs.perplexity import perplexities_of
    from ndino.results.logs.perplexity_tests import compare_perplexities
    from ndino.results.render import print_tables
    from ndino.results.summary import summarise_models, summarise_perplexities
    from ndino.results.tables import build_tables

    given = _named_paths(paths, names)
    models = [_read(path, name, metric, cluster) for name, path in given]
    if len({model.name for model in models}) < max(2, len(models)):
        raise UsageError(
            f"{paths[0]}: a comparison needs two or more different models "
            "(remedy: give RUN --models A B, or evaluation folders)"
        )
    check_comparable(models)
    pairs = [*itertools.combinations(models, 2)]
    folders = {name: folder for name, path in given if (folder := _perplexity_folder(path)) is not None}
    perplexities, left_out = perplexities_of(folders)
    perplexity_tests = compare_perplexities(perplexities, [(a.name, b.name) for a, b in pairs])
    tested = {row["set"] for row in perplexity_tests}
    shared = {
        name: logs
        for name, _ in given
        if (logs := {key: log for key, log in perplexities.get(name, {}).items() if key in tested})
    }
    tests = compare_pairs(pairs, perplexity_figures(perplexity_tests))
    notes = dict.fromkeys(note for model in models for note in model.notes)
    if not tests and not perplexity_tests:
        remedy = "evaluate them on the same tasks"
        said = [note.rstrip(".") for note in notes]
        raise ResultsError(paths[0], "; ".join(["the models have no task in common", *said]), remedy=remedy)
    summary = {
        "models": summarise_models(models),
        "perplexity": summarise_perplexities(shared),
        "perplexity_tests": perplexity_tests,
        "tests": tests,
        "notes": [*notes, *unnamed_images(models), *left_out],
    }
    print_tables([table for table in build_tables(summary) if table.key != "more"], console)
    for note in summary["notes"]:
        console.print(f"Note: {note}", markup=False, highlight=False, soft_wrap=True)
