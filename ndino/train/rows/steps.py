"""How many optimiser steps the rows make, and whether a model learns anything in them.

A step always trains exactly ``effective_batch`` rows. An epoch is the largest number of whole steps that the
rows fill; the rest is left out of that epoch, and each epoch leaves out other rows. Rows that do not fill one
step are refused: a smaller step would have noisier gradients, and how large it is would depend on the number
of ranks.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from ndino.formats.recipes import Recipe
from ndino.train.stage import Stage, StageError, is_first_rank

# Of fewer steps than this a warning says so, if at least this share of them is warm-up.
FEW_STEPS, MUCH_WARMUP = 20, 0.25
PAGE = '"Small data sets" in docs/training.md'


def steps_of_epoch(rows: int, effective_batch: int) -> int:
    """Optimiser steps of an epoch; 0 if the rows do not fill one."""
    return rows // effective_batch


def steps_of_stage(recipe: Recipe, rows: int) -> int:
    """Optimiser steps of a stage, as both engines' trainers count them; 0 if the rows do not fill one."""
    of_epoch = steps_of_epoch(rows, recipe.effective_batch)
    if not of_epoch:
        return 0
    return recipe.max_steps or math.ceil(of_epoch * (recipe.epochs or 1))


def warmup_steps(recipe: Recipe, steps: int) -> int:
    """Of ``steps``, those in which the learning rate rises; in the first of them it is 0."""
    return math.ceil(steps * recipe.warmup_ratio)


def require_steps(stage: Stage, rows: int, *, ranks: int) -> None:
    """Refuse data and a recipe with which nothing would be trained; the first rank warns of very few steps.

    Args:
        rows: usable rows of the data, less those of ``eval_rows``.
        ranks: processes that train together.

    Raises:
        StageError: the rows do not fill a step, or no step has a learning rate above 0.
    """
    if problem := no_step(stage.recipe, rows, stage.data, ranks=ranks):
        raise StageError(problem)
    if is_first_rank() and (warning := few_steps(stage.recipe, rows, stage.data, ranks=ranks)):
        print(warning, flush=True)


def no_step(recipe: Recipe, rows: int, data: Path, *, ranks: int) -> str | None:
    """Why nothing would be trained, with the remedy; None if something would.

    Args:
        rows: usable rows less ``eval_rows``, below 0 if there are not so many.
        ranks: processes that train together.
    """
    if recipe.eval_rows:
        return _no_step_beside(recipe, rows + recipe.eval_rows, data, ranks=ranks)
    steps = steps_of_stage(recipe, rows)
    if not steps:
        return (
            f"{data}: {rows:,} usable row(s) do not fill a step of {recipe.effective_batch} (effective_batch "
            f"in recipe {recipe.name}) (remedy: give at least {recipe.effective_batch} rows, or set "
            f"{smaller(recipe, rows, ranks)} in the recipe; {PAGE})"
        )
    # The rate of the first step is 0 where there is warm-up. No other step's is.
    if steps > 1 or not warmup_steps(recipe, steps):
        return None
    return (
        f"{data}: {_made_of(recipe, rows)} 1 step, which is warm-up at a learning rate of 0 (warmup_ratio: "
        f"{recipe.warmup_ratio}), so nothing would be trained (remedy: set {smaller(recipe, rows, ranks)} in "
        f"recipe {recipe.name}, or warmup_ratio: 0.0; {PAGE})"
    )


def _no_step_beside(recipe: Recipe, usable: int, data: Path, *, ranks: int) -> str | None:
    """`no_step` where some of the usable rows are held out."""
    alone = replace(recipe, eval_rows=0)
    problem = no_step(alone, max(0, usable - recipe.eval_rows), data, ranks=ranks)
    if problem is None:
        return None
    size = recipe.effective_batch
    needed = next(
        (rows for rows in range(size, usable + 1, size) if not no_step(alone, rows, data, ranks=ranks)), None
    )
    if needed is None:  # there are too few even with none held out
        return no_step(alone, usable, data, ranks=ranks)
    what = problem.removeprefix(f"{data}: ").partition(" (remedy: ")[0]
    return (
        f"{data}: eval_rows: {recipe.eval_rows} of {usable:,} usable rows are not trained on, and {what} "
        f"(remedy: set eval_rows: {usable - needed} or less in recipe {recipe.name}; {PAGE})"
    )


def few_steps(recipe: Recipe, rows: int, data: Path, *, ranks: int) -> str | None:
    """A warning of a stage with few steps, many of them warm-up; None for any other."""
    steps = steps_of_stage(recipe, rows)
    warmup = warmup_steps(recipe, steps)
    if steps >= FEW_STEPS or warmup < steps * MUCH_WARMUP:
        return None
    return (
        f"warning: {data}: {_made_of(recipe, rows)} {steps} steps, {warmup} of them warm-up: little will be "
        f"learned (remedy: set {smaller(recipe, rows, ranks)} in recipe {recipe.name}; {PAGE})"
    )


def _made_of(recipe: Recipe, rows: int) -> str:
    if recipe.max_steps:
        return f"max_steps: {recipe.max_steps} in recipe {recipe.name} makes"
    return f"{rows:,} usable rows in steps of {recipe.effective_batch} and epochs: {recipe.epochs} make"


def smaller(recipe: Recipe, rows: int, ranks: int) -> str:
    """Fields that make enough steps of few rows: four of an epoch where the rows allow it, and 20 in all."""
    if rows < ranks:
        return f"effective_batch: {rows} and train on at most {rows} rank(s)" if rows else "other data"
    share = max(1, min(rows // (4 * ranks), recipe.effective_batch // ranks))  # of a rank
    size = next(size for size in range(min(recipe.per_device_batch, share), 0, -1) if not share % size)
    fields = {"effective_batch": share * ranks, "per_device_batch": size}
    changed = [f"{name}: {value}" for name, value in fields.items() if value != getattr(recipe, name)]
    if recipe.max_steps:
        changed += [f"max_steps: {FEW_STEPS}"] if recipe.max_steps < FEW_STEPS else []
    elif (epochs := math.ceil(FEW_STEPS / (rows // (share * ranks)))) > (recipe.epochs or 1):
        changed.append(f"epochs: {epochs}.0")
    return " and ".join([", ".join(changed[:-1]), changed[-1]] if len(changed) > 1 else changed)
