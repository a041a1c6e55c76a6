"""The shuffled-image control for tasks that do not know of it: any task of lmms-eval that shows images.

Our own tasks exchange images when they read their data (`shuffle.py`). For others, every image that
a document shows is exchanged for another document's when it is shown; the texts stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from ndino.common.images import pixel_digest
from ndino.evaluation.errors import SetupError
from ndino.evaluation.shuffle import shuffle_map

if TYPE_CHECKING:
    from lmms_eval.api.task import ConfigurableTask


def exchange_task_images(task: ConfigurableTask, name: str, size: int) -> None:
    """Make ``task`` show wrong images in its first ``size`` documents.

    All of these are decoded once to tell equal images apart, and one by one again when they are asked.

    Raises:
        SetupError: the task shows something else than images, fewer than two, or in a way of its own.
    """
    from lmms_eval.api.task import ConfigurableMessagesTask

    if isinstance(task, ConfigurableMessagesTask) and callable(task.config.doc_to_messages):
        raise SetupError(f"task {name}: builds its messages by itself, so its images cannot be exchanged")
    show = task.doc_to_visual
    where: dict[str, tuple[int, int]] = {}
    for number in range(size):
        for place, image in enumerate(_images(show(task.eval_docs[number]), name)):
            where.setdefault(pixel_digest(image), (number, place))
    try:
        given = shuffle_map(where)
    except ValueError as error:
        raise SetupError(f"task {name}: {error}") from error

    def show_wrong(document: Mapping[str, Any]) -> list[Image]:
        wanted = [where[given[pixel_digest(image)]] for image in show(document)]
        return [show(task.eval_docs[number])[place] for number, place in wanted]

    task.doc_to_visual = show_wrong


def _images(shown: Any, name: str) -> list[Image]:
    images = list(shown or [])
    if not all(isinstance(image, Image) for image in images):
        raise SetupError(f"task {name}: shows something else than images, which cannot be exchanged")
    return images
