"""Decodes the images of a task once, so that damaged ones are named before a model is loaded."""

from __future__ import annotations

from typing import Any

from ndino.common.images import REPLACE_IMAGE
from ndino.evaluation.errors import SetupError
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.progress import reading
from ndino.evaluation.tasks.preparation import faulty_rows


def sizes_of_images(task: LoadedTask, size: int) -> list[tuple[int, int]]:
    """(height, width) in pixels of the image of each of the first ``size`` questions; each is decoded once.

    Returns:
        An empty list for a task that is not ours, which may show anything.

    Raises:
        SetupError: images cannot be read; names their rows.
    """
    if not task.is_ours:
        return []
    seen: dict[Any, tuple[int, int] | str] = {}
    found, faults = [], []
    for number in reading(range(size), silent=False):
        key = task.image_key(number)
        if key not in seen:
            try:
                image = task.images(number)[0]
                seen[key] = image.height, image.width
            except (OSError, KeyError) as error:
                seen[key] = " ".join(str(error).split())
        if isinstance(known := seen[key], str):
            faults.append((number, known))
        else:
            found.append(known)
    if faults:
        raise SetupError(
            f"task {task.name}: {faulty_rows(task.task.eval_docs, faults)} (remedy: {REPLACE_IMAGE})"
        )
    return found
