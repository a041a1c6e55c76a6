"""The controls of tasks that know nothing of them: images are replaced when they are shown, texts stay.

Our tasks exchange images when they read their data (`shuffle.py`); for lmms-eval's own, another document's
image is shown. A blank image is shown in the same way by all tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL.Image import Image, new

from ndino.common.errors import UserError
from ndino.common.images import image_sha256
from ndino.evaluation.errors import SetupError
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.shuffle import SEED, shuffle_map

_REMEDY = "without --shuffle and --blank for this task"
# Close to the mean of natural images, which the vision tower subtracts.
_GREY = (128, 128, 128)


def blank_task_images(loaded: LoadedTask) -> None:
    """Make a task show a uniformly grey image of the same size in place of each image.

    Raises:
        SetupError: the task builds its messages itself, or a document shows something other than images.
    """
    _require_images_apart(loaded)
    task: Any = loaded.task
    show = task.doc_to_visual

    def show_blank(document: Mapping[str, Any]) -> list[Image]:
        return [new("RGB", image.size, _GREY) for image in _images(show(document), loaded.name)]

    task.doc_to_visual = show_blank


def _require_images_apart(loaded: LoadedTask) -> None:
    from lmms_eval.api.task import ConfigurableMessagesTask

    found = loaded.task
    messages = found.config.doc_to_messages if isinstance(found, ConfigurableMessagesTask) else None
    if callable(messages):
        raise SetupError(
            f"task {loaded.name}: builds its messages itself, so its images cannot be exchanged "
            f"(remedy: {_REMEDY})"
        )


def exchange_task_images(loaded: LoadedTask, size: int, seed: int = SEED) -> None:
    """Make a task show wrong images in its first ``size`` documents.

    Decodes all of these once to tell equal images apart, and again one by one when they are asked.

    Raises:
        SetupError: the task shows something other than images, or fewer than two, or builds its messages
            itself.
    """
    _require_images_apart(loaded)
    name = loaded.name
    task: Any = loaded.task
    show = task.doc_to_visual
    where: dict[str, tuple[int, int]] = {}
    for number in range(size):
        for place, image in enumerate(_images(show(task.eval_docs[number]), name)):
            where.setdefault(image_sha256(image), (number, place))
    try:
        given = shuffle_map(where, seed)
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
