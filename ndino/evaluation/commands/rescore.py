"""``ndino rescore``: apply today's metrics to kept answers, without a model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser, need_folder

if TYPE_CHECKING:
    from ndino.evaluation.store import ResultsStore

HELP = """
Score the kept answers of evaluated models again, with the metrics of this version. No model is loaded.

Tasks whose questions, images, prompts or generation settings have changed are left as they are and named.
"""
EXAMPLES = ("ndino rescore runs/eval/it --data data/benchmarks",)
# What may have changed since the answers were given: how they are scored.
SCORING = {"version", "definition", "language"}


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="OUT/NAME", help="results of a model, as evaluate wrote them"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="folder with the datasets under their hub names (default: the hub)",
    )


def run(args: argparse.Namespace) -> int:
    from ndino.evaluation.lmms_eval_adapter.surroundings import (
        quiet_libraries,
        set_library_environment,
        working_directory,
    )
    from ndino.evaluation.store import ResultsStore, hold

    set_library_environment()
    data = need_folder(args.data, "name the folder that holds the datasets").resolve() if args.data else None
    folders = [path.resolve() for path in args.folders]
    for folder in folders:
        if not (folder / "results.json").is_file():
            raise UsageError(f"{folder}: holds no results.json (remedy: give OUT/NAME of ndino evaluate)")
    faults = []
    for folder in folders:
        with hold(folder):
            store = ResultsStore.of(folder)
            with quiet_libraries(), working_directory(data):
                outcomes = {task: _rescored(store, task, data) for task in store.results["tasks"]}
        for task, fault in outcomes.items():
            print(f"{folder.name} {task}: {'left as it is' if fault else 'scored'}")
            faults += [f"{folder}: {task}: {fault}"] if fault else []
    for fault in faults:
        print(f"ndino rescore: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _rescored(store: ResultsStore, task: str, data: Path | None) -> str | None:
    """Score a task's kept answers; why not, where they cannot be."""
    from ndino.evaluation.benchmarks import Benchmarks
    from ndino.evaluation.lmms_eval_adapter.replay import KeptAnswers
    from ndino.evaluation.provenance import what_changed

    entry = store.results["tasks"][task]
    before = entry.get("depends")
    remedy = "(remedy: ndino evaluate asks them again)"
    if before is None:
        return f"{what_changed(None, {})} {remedy}"
    benchmarks = Benchmarks([task], data=data, cache=store.folder.parent / ".cache", limit=entry["n"])
    now = {"answers": before["answers"], "task": benchmarks.depends(task)}
    asked: list[dict[str, Any]] = [
        {name: value for name, value in depends["task"].items() if name not in SCORING}
        for depends in (before, now)
    ]
    if asked[0] != asked[1]:
        changed = what_changed({"task": asked[0]}, {"task": asked[1]})
        return f"the kept answers are to other questions, since this changed: {changed} {remedy}"
    kinds = (False, True) if entry["shuffled"] else (False,)
    # Saving the right ones removes the control's log, so both are scored first.
    outcomes = []
    for shuffled in kinds:
        rows = store.rows(task, shuffled=shuffled)
        # The documents are the same with other images, which scoring does not look at.
        outcomes.append(benchmarks.ask(KeptAnswers(task, rows), task, shuffled=False, right=rows))
    for shuffled, outcome in zip(kinds, outcomes, strict=True):
        assert outcome is not None, "one process alone scores"
        store.save(
            task,
            now,
            [{**row, "shuffled": shuffled} for row in outcome.rows],
            outcome.metrics,
            shuffled=shuffled,
            version=benchmarks.version(task),
            errors=outcome.errors,
            majority=benchmarks.majority(task),
            made_with=entry["made_with"],
        )
    return None
