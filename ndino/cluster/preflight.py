"""What can be known of a family before a stage of it is trained: each failure is a line with its remedy.

A data set or benchmark that is missing would otherwise be found when the jobs before have used their hours.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import is_offline_mode

from ndino.cluster.checks import Place, check, check_before_parent
from ndino.cluster.family import Job, Site, start_of
from ndino.evaluation.errors import SetupError
from ndino.formats.recipes import RecipeError, load_recipe
from ndino.train.stage import Stage

STAGING = "make stage-weights"


@dataclass(frozen=True)
class Questions:
    """What models are asked: TASKS, PERPLEXITY_SETS (``NAME=DATA``) and BENCHMARKS of launch/cluster.env."""

    tasks: tuple[str, ...]
    perplexity_sets: tuple[str, ...]
    benchmarks: Path


def problems(
    jobs: list[Job], names: Iterable[str], site: Site, place: Place, questions: Questions
) -> Iterator[str]:
    """What forbids submitting the jobs called ``names``; ``jobs`` is the whole family."""
    by_name = {job.name: job for job in jobs}
    chosen = [by_name[name] for name in names]
    yield from dict.fromkeys(_training_problems(chosen, by_name, site, place))
    asked = {job.arguments[0] for job in chosen if not job.trains}
    if "tasks" in asked:
        yield from _task_problems(questions)
    if "perplexity" in asked:
        yield from _perplexity_problems(questions)
    for job in chosen if is_offline_mode() else ():
        if job.arguments[0] == "tasks" and not job.parents:
            name, _, model = job.arguments[1].partition("=")
            if not Path(model).is_dir():
                yield (
                    f"{name}: {model} is not in {site.models} (remedy: {STAGING}, or take it from the "
                    "baselines of the family's file)"
                )


def _training_problems(chosen: list[Job], by_name: dict[str, Job], site: Site, place: Place) -> Iterator[str]:
    checked: set[str] = set()
    for job in (job for job in chosen if job.trains):
        parent = by_name[job.parents[0]] if job.parents else None
        ready = parent is None or parent.done
        name = job.arguments[0]
        if name in checked and not ready:
            continue
        checked.add(name)
        try:
            recipe = load_recipe(site.recipes / f"{name}.yaml", site.overrides)
        except RecipeError as error:
            yield str(error)
            continue
        start = start_of(parent if ready else None, site)
        stage = Stage(recipe, Path(recipe.data), Path(recipe.image_folder), site.runs / job.name, **start)
        how = check if ready else check_before_parent
        yield from how(stage, place, engine=site.engine).problems


def _task_problems(questions: Questions) -> Iterator[str]:
    from ndino.evaluation.benchmarks import Benchmarks

    folder = questions.benchmarks if questions.benchmarks.is_dir() else None
    if folder is None and is_offline_mode():
        yield f"{questions.benchmarks}: no such folder of benchmarks (remedy: {STAGING}, or BENCHMARKS=)"
        return
    try:
        # lmms-eval tells of its other tasks.
        with contextlib.redirect_stderr(io.StringIO()):
            Benchmarks(questions.tasks, data=folder)
    except SetupError as error:
        yield f"TASKS={','.join(questions.tasks)}: {error}; {STAGING} fetches those of ndino-it"


def _perplexity_problems(questions: Questions) -> Iterator[str]:
    for item in questions.perplexity_sets if is_offline_mode() else ():
        data = item.partition("=")[2] or item
        # As launch/evaluate.sh looks for it.
        folder = questions.benchmarks / data
        path = folder if folder.is_dir() else Path(data)
        if not path.is_file() and not (path.is_dir() and any(path.iterdir())):
            yield f"PERPLEXITY_SETS: {item}: no data in {folder} (remedy: {STAGING}, or name other sets)"
