"""Stores answers as soon as they are given, so that a killed run loses at most the batch in progress.

An answer's key holds everything that the answer depends on: the model's weights and settings, the code and
device that compute it, the prompt, the content of the images, and the generation settings. A model that was
trained further, or another image, has other keys. Sampled answers are not stored.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ndino.common.parsing import parse_json
from ndino.evaluation.errors import SetupError

# How long a write waits for another process that reads or writes the same database.
BUSY_SECONDS = 60
# SQLite limits the number of `?` in one statement, to 999 in older builds.
KEYS_AT_ONCE = 500
_TOKENS = (
    "CREATE TABLE IF NOT EXISTS tokens (key TEXT PRIMARY KEY, prompt INTEGER, answer INTEGER) WITHOUT ROWID"
)


class AnswerStore:
    """Answers by key in ``folder``: one database per writing process, all of which every process reads.

    Args:
        folder: created where it is missing.
        rank: this process's number among those that work together. Network file systems do not lock well
            enough for two processes to write to one database.

    Raises:
        SetupError: a database is broken or cannot be written.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.folder = folder
        self._own = folder / f"answers-{rank}.sqlite"
        folder.mkdir(parents=True, exist_ok=True)
        with self._transaction(self._own) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT) WITHOUT ROWID"
            )

    @contextlib.contextmanager
    def _transaction(self, path: Path) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise SetupError(f"{path}: {error} (remedy: remove it to ask its questions again)") from error

    def find(self, keys: Iterable[str]) -> dict[str, str]:
        """The stored answers among ``keys``, from all processes' databases."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, str] = {}
        for path in sorted(self.folder.glob("answers-*.sqlite")):
            with self._transaction(path) as database:
                for start in range(0, len(wanted), KEYS_AT_ONCE):
                    part = wanted[start : start + KEYS_AT_ONCE]
                    marks = ",".join("?" * len(part))
                    rows = database.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", part)
                    found.update((key, parse_json(answer)) for key, answer in rows)
        return found

    def keep(self, answers: Mapping[str, str]) -> None:
        """Commit answers; they are on the disk when this returns."""
        # As JSON, since an answer may hold half of a surrogate pair, which UTF-8 cannot encode.
        rows = [(key, json.dumps(answer)) for key, answer in answers.items()]
        with self._transaction(self._own) as database:
            database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)

    def keep_tokens(self, key: str, prompt: int, answer: int) -> None:
        """Note how many tokens a prompt and its answer have, as the server that gave it counts them."""
        with self._transaction(self._own) as database:
            database.execute(_TOKENS)
            database.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)", (key, prompt, answer))

    def tokens(self, keys: Iterable[str]) -> list[tuple[int, int]]:
        """What is noted of ``keys``: tokens of the prompt and of the answer, for each key that has a note."""
        wanted = {*keys}
        with self._transaction(self._own) as database:
            database.execute(_TOKENS)
            rows = database.execute("SELECT key, prompt, answer FROM tokens")
            return [(prompt, answer) for key, prompt, answer in rows if key in wanted]


def answer_key(identity: str, prompt: str, media: Sequence[str], settings: Mapping[str, Any]) -> str:
    """The key of an answer, 64 hexadecimal digits.

    Args:
        identity: of the model and of the code that lets it answer.
        prompt: the question as the task asks it.
        media: what identifies each image, in order.
        settings: lmms-eval's ``generation_kwargs``.
    """
    parts = json.dumps([identity, prompt, list(media), settings], sort_keys=True, default=str)
    return hashlib.sha256(parts.encode(errors="surrogatepass")).hexdigest()


def is_repeatable(settings: Mapping[str, Any]) -> bool:
    """Whether the same question gets the same answer every time, because nothing is sampled."""
    return not settings.get("do_sample") and not (settings.get("temperature") or 0) > 0
