"""Answers lmms-eval's requests: from the answer store, and the others by a model, batch by batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from ndino.common.images import image_sha256, pixel_digest
from ndino.evaluation.answer_store import AnswerStore, answer_key, is_repeatable
from ndino.evaluation.inference.generation import cut
from ndino.evaluation.inference.memory import MemoryLimit
from ndino.evaluation.progress import reading

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance
    from lmms_eval.api.model import lmms

# Of an answer in the store; a number, its place, where the answer cannot be stored.
Key = str | int


def answer_requests(
    model: lmms,
    requests: Sequence[Instance],
    answer: Callable[[list[Instance]], Sequence[Any]],
    *,
    store: AnswerStore | None,
    identity: str,
    size: int,
    on_answered: Callable[[int], object],
    keep_empty: bool = True,
) -> list[str]:
    """Answer requests: those in the store from there, the others by ``answer``.

    Args:
        model: whose ``task_dict`` holds the requests' documents.
        answer: gets at most ``size`` different requests with equal generation settings; returns one answer
            for each.
        store: None to store nothing.
        identity: of the model and of the code that lets it answer; part of the keys.
        on_answered: called with the number of requests just answered.
        keep_empty: False to leave empty answers out of the store, so that they are asked again.

    Returns:
        The answers, in the order of ``requests``.
    """
    from lmms_eval.api.instance import unwrap_generation_output

    def ask(missing: Mapping[Key, Instance], take: Callable[[Mapping[Key, str]], None]) -> None:
        memory = MemoryLimit()
        for part in _batches(missing, size):
            given = memory.run([missing[key] for key in part], lambda requests: answer(list(requests)))
            texts = [unwrap_generation_output(text)[0] or "" for text in given]
            take({key: cut(text, ()) for key, text in zip(part, texts, strict=True)})

    keys = request_keys(model, requests, None if store is None else identity)
    return answer_as_they_come(
        requests, keys, ask, store=store, on_answered=on_answered, keep_empty=keep_empty
    )


def request_keys(model: lmms, requests: Sequence[Instance], identity: str | None) -> list[Key]:
    """The key of each request's answer; its place where it has none, or without an ``identity``.

    By its place it is neither stored nor merged with equal ones.
    """
    shown = enumerate(reading(requests, silent=model.rank != 0))
    return [
        place if identity is None else request_key(model, request, identity) or place
        for place, request in shown
    ]


def answer_as_they_come(
    requests: Sequence[Instance],
    keys: Sequence[Key],
    ask: Callable[[Mapping[Key, Instance], Callable[[Mapping[Key, str]], None]], None],
    *,
    store: AnswerStore | None,
    on_answered: Callable[[int], object],
    keep_empty: bool = True,
) -> list[str]:
    """`answer_requests` for what answers many requests in an order of its own.

    Args:
        keys: the requests' `request_keys`.
        ask: gets all requests that are not in the store, by key, and a function that takes answers by key, to
            be called with each part of them as soon as it is there.
    """
    answers: dict[Key, str] = {}
    if store is not None:
        answers.update(store.find(key for key in keys if isinstance(key, str)))
    if answers:
        on_answered(sum(key in answers for key in keys))

    def take(new: Mapping[Key, str]) -> None:
        if store is not None:
            kept = {key: text for key, text in new.items() if text or keep_empty}
            store.keep({key: text for key, text in kept.items() if isinstance(key, str)})
        answers.update(new)
        on_answered(sum(key in new for key in keys))

    ask({key: request for key, request in zip(keys, requests, strict=True) if key not in answers}, take)
    return [answers[key] for key in keys]


def attach_store(
    model: lmms,
    store: AnswerStore,
    *,
    identity: str,
    size: int,
    on_answered: Callable[[int], object],
) -> None:
    """Make any model of lmms-eval store its answers and report its progress.

    Our own wrappers do so themselves; for others ``generate_until`` is wrapped.

    Args:
        identity: of everything that answers depend on, besides the questions.
        size: questions that one of lmms-eval's wrappers gets at a time, and that a kill may lose.
    """
    if hasattr(model, "remember"):
        ours: Any = model  # one of overlay/lmms_eval/models/
        ours.remember(store, identity)
        ours.on_answered = on_answered
        return
    answer = model.generate_until
    model.generate_until = lambda requests: answer_requests(
        model,
        requests,
        answer,
        store=store,
        identity=identity,
        size=size,
        on_answered=on_answered,
        # lmms-eval's own wrappers turn an error into an empty answer.
        keep_empty=False,
    )


def _batches(missing: Mapping[Key, Instance], size: int) -> Iterator[list[Key]]:
    for _, run in groupby(missing, key=lambda key: settings_of(missing[key])):
        part = list(run)
        for start in range(0, len(part), size):
            yield part[start : start + size]


def settings_of(request: Instance) -> dict[str, Any]:
    """A request's ``generation_kwargs``."""
    return next(argument for argument in request.args if isinstance(argument, dict))


def request_key(model: lmms, request: Instance, identity: str) -> str | None:
    """The key of a request's answer; None where it is sampled or shows media that cannot be identified."""
    settings = settings_of(request)
    if not is_repeatable(settings):
        return None
    # Wrappers of the types simple and chat have settings and function in different orders.
    arguments: tuple[Any, ...] = request.args
    prompt, to_media = (part for part in arguments[:3] if not isinstance(part, dict))
    doc_id, task, split = arguments[3:6]
    shown = to_media(model.task_dict[task][split][doc_id])
    note_images(model, task, doc_id, shown)
    digests: list[str] = []
    if not _add_digests(shown, digests):
        return None
    return answer_key(identity, prompt, digests, settings)


def note_images(model: lmms, task: str, doc_id: int, shown: Any) -> list[str] | None:
    """Note in ``model.shown_images``, by task and row, which images a question showed: its log line says it.

    Returns:
        `image_digests` of ``shown``.
    """
    digests = image_digests(shown)
    if digests is not None:
        noted = vars(model).setdefault("shown_images", {})
        noted.setdefault(task, {})[doc_id] = digests
    return digests


def image_digests(shown: Any) -> list[str] | None:
    """The digest of each image that a task's ``doc_to_visual`` gives; None where it gives something else."""
    images = list(shown) if isinstance(shown, (list, tuple)) else [] if shown is None else [shown]
    if not all(isinstance(image, Image) for image in images):
        return None
    return [image_sha256(image) for image in images]


def _add_digests(shown: Any, digests: list[str]) -> bool:
    """Add what identifies images and the messages around them; False where something else is shown."""
    if isinstance(shown, Image):
        digests.append(pixel_digest(shown))
    elif isinstance(shown, Mapping):
        return all(_add_digests(part, digests) for pair in sorted(shown.items()) for part in pair)
    elif isinstance(shown, (list, tuple)):
        digests.append(f"{len(shown)} parts")
        return all(_add_digests(part, digests) for part in shown)
    elif shown is None or isinstance(shown, (str, int, float)):
        digests.append(repr(shown))
        # A text may name a file, such as a video, whose content can change.
        return not (isinstance(shown, str) and os.path.isfile(shown))
    else:
        return False
    return True
