"""``ndino rescore``: apply today's metrics to kept answers, without a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.errors import UsageError, UserError, reason_of
from ndino.common.options import CommandParser, need_folder
from ndino.evaluation.controls import RIGHT, log_name

if TYPE_CHECKING:
    from ndino.evaluation.benchmarks import TaskOutcome
    from ndino.evaluation.store import ResultsStore

HELP = """
Score the answers of evaluated models again, those in TASK.jsonl and in the logs of its controls, with the
metrics of this version. No model is loaded.

Tasks whose questions, images, prompts or generation settings have changed are left as they are and named.
"""
EXAMPLES = ("ndino rescore runs/eval/it --data data/benchmarks",)
# What may have changed since the answers were given: how they are scored.
SCORING = {"version", "definition", "language"}
# Where there is a log, its task counts as finished.
REMOVE = "remove it, and ndino evaluate makes it again"


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
    failed = False
    for folder in folders:
        with hold(folder):
            store = ResultsStore.of(folder)
            groups = dict(store.results["groups"])
            entries = dict(store.results["tasks"])
            said: list[str] = []
            with quiet_libraries(), working_directory(data):
                tasks = [task for task in entries if "renewed_by" not in entries[task]]
                outcomes = {task: _rescored(store, task, data, said) for task in tasks}
                scored = {task for task, fault in outcomes.items() if fault is None}
                for group, totals in groups.items():
                    _renew_totals(store, group, totals, scored, data)
        print(f"{folder.name}: {len(scored)} of {len(outcomes)} tasks scored")
        if gone := [task for task in entries if task not in store.results["tasks"]]:
            renew = entries[gone[0]]["renewed_by"]
            print(
                f"{folder.name}: {', '.join(gone)}: parts of tasks that were scored anew: "
                f"renew them with {renew}"
            )
        for line in said:
            print(f"ndino rescore: {folder}: {line}", file=sys.stderr)
        for fault in dict.fromkeys(outcomes.values()):
            if fault is not None:
                left = ", ".join(task for task, found in outcomes.items() if found == fault)
                print(f"ndino rescore: {folder}: {left}: {fault}", file=sys.stderr)
                failed = True
    return 1 if failed else 0


def _rescored(store: ResultsStore, task: str, data: Path | None, said: list[str]) -> str | None:
    """Score a task's kept answers and those of its controls; why not, where they cannot be.

    Args:
        said: to which a line is added about what the scores are without.
    """
    from ndino.evaluation.benchmarks import Benchmarks
    from ndino.evaluation.lmms_eval_adapter.replay import KeptAnswers
    from ndino.evaluation.provenance import what_changed

    entry = store.results["tasks"][task]
    before = entry.get("depends")
    remedy = "(remedy: ndino evaluate asks them again)"
    if before is None:
        return f"{what_changed(None, {})} {remedy}"
    try:
        kept = {control: _kept_rows(store, task, control) for control in (RIGHT, *store.controls(task))}
        benchmarks = Benchmarks(
            [task], data=data, cache=store.folder.parent / ".cache", rows={task: entry["n"]}
        )
        now = {"answers": before["answers"], "task": benchmarks.depends(task)}
    except UserError as error:
        # A log that lost rows, data that are not there, or another command's result, which an earlier version
        # did not mark.
        return str(error)
    asked: list[dict[str, Any]] = [
        {name: value for name, value in depends["task"].items() if name not in SCORING}
        for depends in (before, now)
    ]
    if asked[0] != asked[1]:
        changed = what_changed(
            {"task": asked[0]}, {"task": asked[1]}, lambda: benchmarks.difference(task, kept[RIGHT])
        )
        return f"the kept answers are to other questions, since this changed: {changed} {remedy}"

    def outcome(control: str) -> TaskOutcome:
        rows = kept[control]
        # The documents are the same with other images, which scoring does not look at.
        found = benchmarks.ask(KeptAnswers(task, rows), task, right=rows)
        assert found is not None, "one process alone scores"
        return replace(found, rows=[{**row, "shuffled": bool(control)} for row in found.rows])

    right, controls = outcome(RIGHT), {control: outcome(control) for control in kept if control}
    if right.left_out is not None:
        if (primary := benchmarks.primary(task)) not in right.metrics:
            return f"no kept question is whole, so that there is no {primary} {remedy}"
        said.append(f"{task}: {right.left_out}")
    store.save(
        task,
        now,
        right.rows,
        right.metrics,
        controls={control: (found.rows, found.metrics) for control, found in controls.items()},
        version=benchmarks.version(task),
        origin=benchmarks.origin(task),
        errors=right.errors,
        majority=benchmarks.majority(task),
        made_with=entry["made_with"],
    )
    return None


def _kept_rows(store: ResultsStore, task: str, control: str) -> list[dict[str, Any]]:
    """The rows of a log, all of them; raises SetupError where some are lost."""
    from ndino.evaluation.errors import SetupError

    name, asked = log_name(task, control), store.results["tasks"][task]["n"]
    try:
        rows = store.rows(task, control)
        numbers = sorted(row["doc_id"] for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{name} cannot be read: {reason_of(error)} (remedy: {REMOVE})") from error
    if numbers != [*range(asked)]:
        raise SetupError(f"{name} holds {len(numbers)} rows, not the {asked} asked (remedy: {REMOVE})")
    return rows


def _renew_totals(
    store: ResultsStore, group: str, before: Mapping[str, float], scored: Set[str], data: Path | None
) -> None:
    """Take a group's totals from its tasks again; none stay where only some of these could be scored."""
    from ndino.evaluation.benchmarks import Benchmarks

    entries = store.results["tasks"]
    # The numbers of questions weigh the means.
    rows = {task: entry["n"] for task, entry in entries.items()}
    benchmarks = Benchmarks([group], data=data, cache=store.folder.parent / ".cache", rows=rows)
    tasks = benchmarks.groups[group]
    if not scored & {*tasks}:
        store.save_group(group, before)
    elif scored >= {*tasks}:
        store.save_group(group, benchmarks.totals(group, {task: entries[task]["metrics"] for task in tasks}))
