"""The translation memory: one SQLite file with the translated and the rejected texts."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ndino.common.files import atomic_file
from ndino.data.errors import DataError
from ndino.data.translation.translator import Translated

Value = TypeVar("Value")

LOOK_UP_AT_ONCE = 500  # old builds of SQLite take at most 999 parameters
SCHEMA = """
CREATE TABLE IF NOT EXISTS translators (number INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS segments (
    translator INTEGER NOT NULL REFERENCES translators,
    source TEXT NOT NULL,
    target TEXT,
    reason TEXT,
    PRIMARY KEY (translator, source),
    CHECK ((target IS NULL) <> (reason IS NULL))
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, score REAL NOT NULL) WITHOUT ROWID;
"""


class TranslationMemory:
    """Translations by translator and source text, in a file that one process uses at a time.

    When ``remember`` returns, its data are on disk, so a killed run loses none of them. The file uses
    SQLite's rollback journal, not the faster WAL: WAL needs memory shared through a mapped file, which the
    network file systems of clusters lack, and it keeps two more files that a copy would have to include. The
    next opening rolls back what a kill -9 left unfinished. With one commit per batch, its cost is negligible.

    Raises:
        DataError: the file is not a memory, or another process is using it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _explained(path):
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None)
            try:
                # The lock is taken once and kept: taking it at every commit is slow on a network file system.
                self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
                # Truncate the journal, do not delete it: fewer calls to a cluster's metadata server.
                self._database.execute("PRAGMA journal_mode = TRUNCATE")
                self._database.execute("BEGIN EXCLUSIVE")
                for statement in filter(str.strip, SCHEMA.split(";")):
                    self._database.execute(statement)
                self._database.execute("COMMIT")
            except sqlite3.Error:
                self._database.close()
                raise

    def look_up(self, identity: str, sources: Sequence[str]) -> dict[str, Translated]:
        """The results for those of ``sources`` that are stored for the translator ``identity``."""
        found = {}
        with _explained(self.path):
            for some in _few_at_a_time(sources):
                rows = self._database.execute(
                    "SELECT source, target, reason FROM segments JOIN translators ON number = translator "
                    f"WHERE identity = ? AND source IN ({','.join('?' * len(some))})",
                    (identity, *some),
                )
                found.update((source, Translated(target, reason)) for source, target, reason in rows)
        return found

    def remember(self, identity: str, translated: Mapping[str, Translated]) -> None:
        """Store ``translated``, by source text, in one transaction."""
        with _explained(self.path):
            self._database.execute("BEGIN")
            self._database.execute("INSERT OR IGNORE INTO translators (identity) VALUES (?)", (identity,))
            self._database.executemany(
                "INSERT OR REPLACE INTO segments SELECT number, ?, ?, ? FROM translators WHERE identity = ?",
                [(source, one.text, one.reason, identity) for source, one in translated.items()],
            )
            self._database.execute("COMMIT")

    def forget_rejected(self, identity: str, reasons: Sequence[str]) -> int:
        """Drop the rejections of the translator ``identity`` for these ``reasons``; returns how many."""
        with _explained(self.path):
            return self._database.execute(
                "DELETE FROM segments WHERE translator = (SELECT number FROM translators WHERE identity = ?) "
                f"AND reason IN ({','.join('?' * len(reasons))})",
                (identity, *reasons),
            ).rowcount

    def scores(self, scorer: str, translations: Mapping[str, str]) -> dict[str, float]:
        """The stored scores that ``scorer`` gave to these translations, by source text."""
        keys = {_score_key(scorer, source, there): source for source, there in translations.items()}
        found = {}
        with _explained(self.path):
            for some in _few_at_a_time(list(keys)):
                rows = self._database.execute(
                    f"SELECT key, score FROM scores WHERE key IN ({','.join('?' * len(some))})", some
                )
                found.update((keys[key], score) for key, score in rows)
        return found

    def remember_scores(
        self, scorer: str, translations: Mapping[str, str], scores: Mapping[str, float]
    ) -> None:
        """Store the ``scores`` that ``scorer`` gave to translations, both by source text."""
        rows = [(_score_key(scorer, source, translations[source]), score) for source, score in scores.items()]
        with _explained(self.path):
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)
            self._database.execute("COMMIT")

    def __len__(self) -> int:
        return self._database.execute("SELECT count(*) FROM segments").fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _few_at_a_time(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    for start in range(0, len(values), LOOK_UP_AT_ONCE):
        yield values[start : start + LOOK_UP_AT_ONCE]


def _score_key(scorer: str, source: str, there: str) -> bytes:
    return hashlib.sha256("\0".join((scorer, source, there)).encode()).digest()[:16]


def merge_memories(paths: Sequence[Path], into: Path) -> None:
    """Merge the memories ``paths`` into ``into``, which may be one of them; equal contents give equal bytes.

    Two memories may hold different translations of one text, since the rounding of a neural model depends on
    the rest of the batch. Then a translation wins over a rejection, and the first by code points over others,
    whatever the order of ``paths``.

    Raises:
        DataError: a file is missing or is not a memory.
    """
    with atomic_file(into) as temporary:
        # In a file, not in RAM: the memory of a whole data set may be too large for a login node.
        gathered = temporary.with_name(f"{temporary.name}.gathered")
        try:
            _gather(sorted(set(paths)), gathered, temporary)
        finally:
            gathered.unlink(missing_ok=True)


def _gather(paths: Sequence[Path], gathered: Path, result: Path) -> None:
    with contextlib.closing(sqlite3.connect(gathered, isolation_level=None)) as database:
        # This file is not read after a crash, so it needs no protection from one.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(SCHEMA)
        identities: set[str] = set()
        for path in paths:
            with _attached(database, path):
                identities.update(row[0] for row in database.execute("SELECT identity FROM one.translators"))
        database.executemany(
            "INSERT INTO translators (identity) VALUES (?)", ((i,) for i in sorted(identities))
        )
        for path in paths:
            with _attached(database, path):
                database.execute(
                    "INSERT INTO segments "
                    "SELECT main.translators.number, source, target, reason FROM one.segments "
                    "JOIN one.translators ON one.translators.number = translator "
                    "JOIN main.translators ON main.translators.identity = one.translators.identity "
                    "WHERE true "  # ends the JOIN, or SQLite reads ON CONFLICT as its condition
                    "ON CONFLICT DO UPDATE SET target = excluded.target, reason = excluded.reason "
                    "WHERE CASE WHEN segments.target IS NULL "
                    "THEN excluded.target IS NOT NULL OR excluded.reason < segments.reason "
                    "ELSE excluded.target < segments.target END"
                )
                # Memories of earlier versions have no scores.
                if database.execute("SELECT 1 FROM one.sqlite_master WHERE name = 'scores'").fetchone():
                    database.execute(
                        "INSERT INTO main.scores SELECT key, score FROM one.scores WHERE true "
                        "ON CONFLICT DO UPDATE SET score = min(score, excluded.score)"
                    )
        # Rewrite the file in key order, so that its bytes do not depend on the order of the insertions.
        database.execute("VACUUM INTO ?", (str(result),))


@contextlib.contextmanager
def _attached(database: sqlite3.Connection, path: Path) -> Iterator[None]:
    if not path.is_file():
        raise DataError(f"{path}: the translation memory is missing (remedy: run that shard again)")
    with _explained(path):
        database.execute("ATTACH ? AS one", (str(path),))
        yield
        database.execute("DETACH one")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise DataError(
                f"{path}: another process is using this translation memory "
                "(remedy: wait for it, or use another shard or folder)"
            ) from error
        raise DataError(f"{path}: {error} (remedy: check free space and permissions)") from error
    except sqlite3.DatabaseError as error:
        raise DataError(
            f"{path}: {error} (remedy: remove the file; its texts will be translated again)"
        ) from error
