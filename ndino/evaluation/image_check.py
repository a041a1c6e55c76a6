"""Decodes the images of a task once, so that damaged ones are named before a model is loaded."""

from __future__ import annotations

from typing import Any

from PIL.Image import Image

from ndino.common.images import REPLACE_IMAGE
from ndino.evaluation.errors import SetupError
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.progress import reading
from ndino.evaluation.tasks.framework.preparation import NAMED_ROWS, faulty_rows, with_the_rest_counted


def sizes_of_images(task: LoadedTask, size: int, *, local: bool) -> list[tuple[int, int]]:
    """(height, width) in pixels of the image of each of the first ``size`` questions; each is decoded once.

    Args:
        local: whether the data are the user's own. The hub's are decoded for our tasks alone.

    Returns:
        An empty list for a task that is not ours, which may show anything.

    Raises:
        SetupError: images cannot be read; names their rows.
    """
    if not task.is_ours:
        if local:
            _require_whole_images(task, size)
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


def _require_whole_images(task: LoadedTask, size: int) -> None:
    """Decode what the first ``size`` questions of a task that is not ours show, as far as it is images.

    Raises:
        SetupError: images cannot be read; names their documents.
    """
    faults = []
    for number in reading(range(size), silent=False):
        try:
            for shown in task.images(number) or ():
                if isinstance(shown, Image):
                    shown.load()
        except (OSError, SyntaxError) as error:  # what Pillow raises for damaged files
            faults.append(f"document {number}: image cannot be read: {' '.join(str(error).split())}")
        except Exception:
            # Such a task may want more than a document, or show nothing at all; asking it says so.
            break
    if faults:
        named = with_the_rest_counted(faults[:NAMED_ROWS], len(faults))
        raise SetupError(f"task {task.name}: {named} (remedy: {REPLACE_IMAGE})")
