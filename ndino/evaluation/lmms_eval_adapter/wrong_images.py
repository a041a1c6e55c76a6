"""The shuffled-image control for lmms-eval's own tasks, which know nothing of it.

Our tasks exchange images when they read their data (`shuffle.py`). For other tasks, each image that a
document shows is exchanged for another document's when it is shown; the texts stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL.Image import Image

from ndino.common.errors import UserError
from ndino.common.images import image_sha256
from ndino.evaluation.errors import SetupError
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.shuffle import shuffle_map

_REMEDY = "without --shuffle for this task"


def exchange_task_images(loaded: LoadedTask, size: int) -> None:
    """Make a task show wrong images in its first ``size`` documents.

    Decodes all of these once to tell equal images apart, and again one by one when they are asked.

    Raises:
        SetupError: the task shows something other than images, or fewer than two, or builds its messages
            itself.
    """
    from lmms_eval.api.task import ConfigurableMessagesTask

    name, found = loaded.name, loaded.task
    messages = found.config.doc_to_messages if isinstance(found, ConfigurableMessagesTask) else None
    task: Any = loaded.task
    if callable(messages):
        raise SetupError(
            f"task {name}: builds its messages itself, so its images cannot be exchanged (remedy: {_REMEDY})"
        )
    show = task.doc_to_visual
    where: dict[str, tuple[int, int]] = {}
    for number in range(size):
        for place, image in enumerate(_images(show(task.eval_docs[number]), name)):
            where.setdefault(image_sha256(image), (number, place))
    try:
        given = shuffle_map(where)
    except UserError as error:
        raise SetupError(f"task {name}: {error}") from error

    def show_wrong(document: Mapping[str, Any]) -> list[Image]:
        wanted = [where[given[image_sha256(image)]] for image in show(document)]
        return [show(task.eval_docs[number])[place] for number, place in wanted]

    task.doc_to_visual = show_wrong


def _images(shown: Any, name: str) -> list[Image]:
    images = list(shown or [])
    if not all(isinstance(image, Image) for image in images):
        raise SetupError(
            f"task {name}: shows something other than images, which cannot be exchanged (remedy: {_REMEDY})"
        )
    return images
