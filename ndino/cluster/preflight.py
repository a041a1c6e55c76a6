"""Checks of a whole family before anything is trained: each problem is one line with its remedy.

Otherwise a missing data set would be found only after the earlier jobs have used their GPU hours.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import is_offline_mode

from ndino.cluster.checks import Allocation, check, check_before_parent
from ndino.cluster.family import FamilyPaths, SlurmJob, start_of
from ndino.common.errors import UserError
from ndino.formats.recipes import RecipeError, load_recipe
from ndino.train.stage import Stage

STAGING = "make stage-weights"


@dataclass(frozen=True)
class EvaluationData:
    """What models are scored on: TASKS, PERPLEXITY_SETS and BENCHMARKS of launch/cluster.env."""

    tasks: tuple[str, ...]
    perplexity_sets: tuple[str, ...]
    benchmarks: Path


def problems(
    jobs: list[SlurmJob],
    names: Iterable[str],
    paths: FamilyPaths,
    allocation: Allocation,
    questions: EvaluationData,
) -> Iterator[str]:
    """The problems that forbid submitting the jobs called ``names``; ``jobs`` is the whole family."""
    by_name = {job.name: job for job in jobs}
    chosen = [by_name[name] for name in names]
    yield from dict.fromkeys(_training_problems(chosen, by_name, paths, allocation))
    asked = {job.arguments[0] for job in chosen if not job.trains}
    if "tasks" in asked:
        yield from _task_problems(questions)
    if "perplexity" in asked:
        yield from _perplexity_problems(questions)
    for job in chosen:
        if job.arguments[0] == "tasks" and not job.parents:
            yield from _baseline_problems(job, paths.models)


def _training_problems(
    chosen: list[SlurmJob], by_name: dict[str, SlurmJob], paths: FamilyPaths, allocation: Allocation
) -> Iterator[str]:
    checked: set[str] = set()
    for job in (job for job in chosen if job.trains):
        parent = by_name[job.parents[0]] if job.parents else None
        ready = parent is None or parent.done
        name = job.arguments[0]
        if name in checked and not ready:
            continue
        checked.add(name)
        try:
            recipe = load_recipe(paths.recipes / f"{name}.yaml", paths.overrides)
        except RecipeError as error:
            yield str(error)
            continue
        start = start_of(parent if ready else None, paths)
        stage = Stage(recipe, Path(recipe.data), Path(recipe.image_folder), paths.runs / job.name, **start)
        how = check if ready else check_before_parent
        yield from how(stage, allocation, engine=paths.engine).problems


def _task_problems(questions: EvaluationData) -> Iterator[str]:
    from ndino.evaluation.benchmarks import Benchmarks

    folder = questions.benchmarks if questions.benchmarks.is_dir() else None
    if folder is None and is_offline_mode():
        yield f"{questions.benchmarks}: no such folder of benchmarks (remedy: {STAGING}, or BENCHMARKS=)"
        return
    try:
        # lmms-eval prints warnings about its own tasks.
        with contextlib.redirect_stderr(io.StringIO()):
            benchmarks = Benchmarks(questions.tasks, data=folder)
    except UserError as error:
        yield f"TASKS={','.join(questions.tasks)}: {error}; {STAGING} fetches those of ndino-it"
        return
    for note in benchmarks.notes:
        print(f"TASKS={','.join(questions.tasks)}: {note}", file=sys.stderr)


def _baseline_problems(job: SlurmJob, models: Path) -> Iterator[str]:
    from ndino.evaluation.lmms_eval_adapter.models import model_class
    from ndino.evaluation.models import find_folder, parse_backend

    given, _, backend = job.arguments[1:]
    name, _, model = given.partition("=")
    try:
        model_class(parse_backend(backend))
    except UserError as error:
        yield f"{name}: {error}"
    if Path(model).is_dir():
        try:
            find_folder(model, parse_backend(backend))
        except UserError as error:
            yield f"{name}: {error}"
    elif is_offline_mode():
        yield (
            f"{name}: {model} is not in {models} (remedy: {STAGING}, or take it from the "
            "baselines of the family's file)"
        )


def _perplexity_problems(questions: EvaluationData) -> Iterator[str]:
    for item in questions.perplexity_sets if is_offline_mode() else ():
        data = item.partition("=")[2] or item
        # The same look-up as in launch/evaluate.sh.
        folder = questions.benchmarks / data
        path = folder if folder.is_dir() else Path(data)
        if not path.is_file() and not (path.is_dir() and any(path.iterdir())):
            yield f"PERPLEXITY_SETS: {item}: no data in {folder} (remedy: {STAGING}, or name other sets)"
