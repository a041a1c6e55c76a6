"""Answers are kept as soon as they are given, so that a run that was killed loses at most the batch in hand.

An answer's key says all that it depends on: the model's weights and settings, who computes it and how, the
prompt, the images' content and the generation settings. A model that was trained on, or another image,
has other keys. What is drawn at random is not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from ndino.common.images import pixel_digest
from ndino.evaluation.errors import SetupError
from ndino.evaluation.progress import reading

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance
    from lmms_eval.api.model import lmms

BUSY_SECONDS = 60
KEYS_AT_ONCE = 500


class AnswerStore:
    """Answers by key in ``folder``: a database for each process that writes, all of them read by everyone.

    Args:
        folder: made where it is missing.
        rank: this process's number among those that work together; network file systems do not lock well
            enough for two of them to write to one database.

    Raises:
        SetupError: a database is broken, or cannot be written.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.folder = folder
        self._own = folder / f"answers-{rank}.sqlite"
        folder.mkdir(parents=True, exist_ok=True)
        with self._open(self._own) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT) WITHOUT ROWID"
            )

    @contextlib.contextmanager
    def _open(self, path: Path) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise SetupError(f"{path}: {error} (remove it to ask its questions again)") from error

    def find(self, keys: Iterable[str]) -> dict[str, str]:
        """The answers that are there."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, str] = {}
        for path in sorted(self.folder.glob("answers-*.sqlite")):
            with self._open(path) as database:
                for start in range(0, len(wanted), KEYS_AT_ONCE):
                    part = wanted[start : start + KEYS_AT_ONCE]
                    marks = ",".join("?" * len(part))
                    rows = database.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", part)
                    found.update((key, json.loads(answer)) for key, answer in rows)
        return found

    def keep(self, answers: Mapping[str, str]) -> None:
        """Commit answers; they are on the disk when this returns."""
        # JSON, because a text may hold half of a surrogate pair, which UTF-8 cannot.
        rows = [(key, json.dumps(answer)) for key, answer in answers.items()]
        with self._open(self._own) as database:
            database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)


def answer_key(identity: str, prompt: str, media: Sequence[str], settings: Mapping[str, Any]) -> str:
    """The key of an answer.

    Args:
        identity: of the model and of the way in which it answers.
        prompt: the question as the task asks it.
        media: what identifies each image, in order.
        settings: lmms-eval's ``generation_kwargs``.
    """
    parts = json.dumps([identity, prompt, list(media), settings], sort_keys=True, default=str)
    return hashlib.sha256(parts.encode(errors="surrogatepass")).hexdigest()


def is_repeatable(settings: Mapping[str, Any]) -> bool:
    """Whether asking again gives the same answer: nothing is drawn at random."""
    return not settings.get("do_sample") and not (settings.get("temperature") or 0) > 0


def ask(
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
    """Answer requests in order: from the store, and the others by ``answer``, which gets ``size`` at a time.

    Requests that go together have equal generation settings; equal requests are asked once. ``on_answered``
    gets the number of requests just answered. Without ``keep_empty`` an empty answer is asked for again.
    """
    from lmms_eval.api.instance import unwrap_generation_output

    shown = enumerate(reading(requests, silent=model.rank != 0))
    keys = [(store and request_key(model, request, identity)) or place for place, request in shown]
    repeatable = {key for key in keys if isinstance(key, str)}
    answers: dict[str | int, str] = {} if store is None else dict(store.find(repeatable))
    if answers:
        on_answered(sum(key in answers for key in keys))
    missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in answers}
    for part in _parts(missing, size):
        given = answer([missing[key] for key in part])
        new = {key: unwrap_generation_output(text)[0] for key, text in zip(part, given, strict=True)}
        if store is not None:
            store.keep({k: text for k, text in new.items() if k in repeatable and (text or keep_empty)})
        answers |= new
        on_answered(sum(key in new for key in keys))
    return [answers[key] for key in keys]


def attach(
    model: lmms,
    store: AnswerStore,
    *,
    backend: str,
    fingerprint: str,
    size: int,
    on_answered: Callable[[int], object],
) -> None:
    """Let any model of lmms-eval keep its answers in ``store`` and report its progress.

    Args:
        backend: which wrapper, with its arguments.
        fingerprint: identity of the weights and settings behind it.
        size: questions that a wrapper of lmms-eval's own gets at a time, and may lose.
    """
    if hasattr(model, "remember"):
        model.remember(store, fingerprint)
        model.on_answered = on_answered
        return
    packages = (f"{name} {version(name)}" for name in ("lmms_eval", "transformers"))
    identity, answer = " ".join([backend, fingerprint, *packages]), model.generate_until
    model.generate_until = lambda requests: ask(
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


def _parts(missing: Mapping[str | int, Instance], size: int) -> Iterator[list[str | int]]:
    for _, run in groupby(missing, key=lambda key: settings_of(missing[key])):
        part = list(run)
        for start in range(0, len(part), size):
            yield part[start : start + size]


def settings_of(request: Instance) -> dict[str, Any]:
    """A request's ``generation_kwargs``."""
    return next(argument for argument in request.args if isinstance(argument, dict))


def request_key(model: lmms, request: Instance, identity: str) -> str | None:
    """The key of a request's answer; None where it is drawn at random or shows what cannot be identified."""
    settings = settings_of(request)
    if not is_repeatable(settings):
        return None
    prompt, to_media = (part for part in request.args[:3] if not isinstance(part, dict))
    doc_id, task, split = request.args[3:6]
    digests: list[str] = []
    if not _identify(to_media(model.task_dict[task][split][doc_id]), digests):
        return None
    return answer_key(identity, prompt, digests, settings)


def _identify(shown: Any, digests: list[str]) -> bool:
    """Add what identifies images, and the messages around them; False where something else is shown."""
    if isinstance(shown, Image):
        digests.append(pixel_digest(shown))
    elif isinstance(shown, Mapping):
        return all(_identify(part, digests) for pair in sorted(shown.items()) for part in pair)
    elif isinstance(shown, (list, tuple)):
        digests.append(f"{len(shown)} parts")
        return all(_identify(part, digests) for part in shown)
    elif shown is None or isinstance(shown, (str, int, float)):
        digests.append(repr(shown))
        # A text may name a file, such as a video, whose content can change.
        return not (isinstance(shown, str) and os.path.isfile(shown))
    else:
        return False
    return True
