"""Whether the rows fit into the context of the model that is trained; for both engines and jobs' checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ndino.common.files import sha256_of
from ndino.formats.context import context_of
from ndino.formats.model_kinds import read_config
from ndino.train.rows.index import FOLDER, META, RowIndex, damage_of, open_index, read_meta, recipe_part
from ndino.train.stage import Stage, StageError, is_first_rank


def require_context(stage: Stage, index: RowIndex) -> None:
    """Refuse rows that are longer than the model's context; the first rank notes a ``max_length`` above it.

    Raises:
        StageError: rows are longer; names how many, and the longest.
        ModelFolderError: the start's config.json cannot be read.
    """
    context = stage_context(stage)
    if problem := beyond_context(stage, context, index):
        raise StageError(problem)
    if stage.recipe.max_length > context and is_first_rank():
        print(f"note: {limit_above(stage, context)}; no row is longer than that", flush=True)


def stage_context(stage: Stage) -> int:
    """The most tokens that the model takes which the stage starts from.

    Raises:
        ModelFolderError: its config.json cannot be read.
    """
    return context_of(read_config(stage.start.get("model") or stage.start["language_model"]))


def limit_above(stage: Stage, context: int) -> str:
    """That the recipe's ``max_length`` is above the model's context, in words."""
    return (
        f"recipe {stage.recipe.name}: max_length: {stage.recipe.max_length} is above the model's context of "
        f"{context} tokens"
    )


def beyond_context(stage: Stage, context: int, index: RowIndex) -> str | None:
    """What is wrong if rows are longer than ``context``, with the remedy; None if none is."""
    longer = np.flatnonzero(index.lengths > context)
    if not len(longer):
        return None
    longest = int(np.argmax(index.lengths))
    return (
        f"{stage.data}: {len(longer):,} of {len(index):,} rows are longer than the model's context of "
        f"{context} tokens, the longest is row {index.row_numbers[longest]} with {index.lengths[longest]:,} "
        f"(remedy: set max_length: {context} in recipe {stage.recipe.name}, which cuts them; or start from a "
        "model with a longer context)"
    )


def indexes_at_hand(stage: Stage) -> Iterator[RowIndex]:
    """The indexes that were made of the stage's data with its recipe before.

    Their tokenizer is not compared: reading one takes transformers, and the checks of jobs do without.
    """
    recipe = json.loads(json.dumps(recipe_part(stage.recipe)))
    wanted = {"images": str(stage.image_folder.resolve()), "recipe": recipe}
    data = None
    for place in dict.fromkeys(path.absolute().parent / FOLDER for path in (stage.data, stage.out)):
        for folder in sorted(path.parent for path in place.glob(f"*/{META}")):
            # Only of one that matches are all files read.
            if (meta := _meta_of(folder)).items() >= wanted.items():
                data = data or sha256_of(stage.data)
                if meta.get("data") == data and damage_of(folder) is None:
                    yield open_index(folder)


def _meta_of(folder: Path) -> dict[str, Any]:
    """What an index was made of; empty where that cannot be read, as in a damaged one."""
    try:
        meta = read_meta(folder)
    except ValueError:
        return {}
    return meta if isinstance(meta, dict) else {}
