"""The translation memory: one SQLite file with what translators wrote, before any check.

Verdicts are not stored: they are made anew whenever a translation is read, so that other checks need no
translator.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ndino.common.files import atomic_file
from ndino.data.errors import DataError

Value = TypeVar("Value")

LOOK_UP_AT_ONCE = 500  # old builds of SQLite take at most 999 parameters
SCHEMA = """
CREATE TABLE IF NOT EXISTS translators (number INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS attempts (
    translator INTEGER NOT NULL REFERENCES translators,
    source TEXT NOT NULL,
    first TEXT,
    again TEXT,
    retried INTEGER NOT NULL,
    PRIMARY KEY (translator, source)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, score REAL NOT NULL) WITHOUT ROWID;
"""
# Of two memories' attempts at a text, the merged one gets the lesser by these: a translation that reached its
# end, of which no second one was wanted, the first by code points.
_ORDER = "({0}first IS NULL, {0}retried, ifnull({0}first, ''), {0}again IS NULL, ifnull({0}again, ''))"
_LESSER_WINS = (
    "ON CONFLICT DO UPDATE SET first = excluded.first, again = excluded.again, retried = excluded.retried "
    f"WHERE {_ORDER.format('excluded.')} < {_ORDER.format('attempts.')}"
)
# Memories of before had the translations that passed the checks, in this table, by translator and checks. The
# first checks did not ask whether a translation had reached its end, so what they let pass is not taken over.
_FORMER = "segments"
_FORMER_IDENTITY = re.compile(r"(.*); guards \d+ [0-9a-f]+", re.DOTALL)


@dataclass(frozen=True)
class Attempts:
    """What a translator wrote for a text; None where it did not come to an end.

    ``again`` is the second translation, ``retried`` whether there was one.
    """

    first: str | None
    again: str | None = None
    retried: bool = False


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
                if _take_over(self._database, "main"):
                    self._database.execute(f"DROP TABLE {_FORMER}")
                    self._database.execute(
                        "DELETE FROM translators WHERE number NOT IN (SELECT translator FROM attempts)"
                    )
                self._database.execute("COMMIT")
            except sqlite3.Error:
                self._database.close()
                raise

    def look_up(self, identity: str, sources: Sequence[str]) -> dict[str, Attempts]:
        """The attempts at those of ``sources`` that are stored for the translator ``identity``."""
        found = {}
        with _explained(self.path):
            for some in _few_at_a_time(sources):
                rows = self._database.execute(
                    "SELECT source, first, again, retried FROM attempts "
                    "JOIN translators ON number = translator "
                    f"WHERE identity = ? AND source IN ({','.join('?' * len(some))})",
                    (identity, *some),
                )
                found.update(
                    (source, Attempts(first, again, bool(retried))) for source, first, again, retried in rows
                )
        return found

    def remember(self, identity: str, attempts: Mapping[str, Attempts]) -> None:
        """Store ``attempts``, by source text, in one transaction."""
        with _explained(self.path):
            self._database.execute("BEGIN")
            self._database.execute("INSERT OR IGNORE INTO translators (identity) VALUES (?)", (identity,))
            self._database.executemany(
                "INSERT OR REPLACE INTO attempts "
                "SELECT number, ?, ?, ?, ? FROM translators WHERE identity = ?",
                [(source, one.first, one.again, one.retried, identity) for source, one in attempts.items()],
            )
            self._database.execute("COMMIT")

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
        return self._database.execute("SELECT count(*) FROM attempts").fetchone()[0]

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
    the rest of the batch. Then one wins by its content (`_ORDER`), whatever the order of ``paths``.

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
                found = database.execute("SELECT identity FROM one.translators").fetchall()
                if _has(database, "one", _FORMER):
                    matched = (_FORMER_IDENTITY.fullmatch(identity) for (identity,) in found)
                    identities.update(one[1] for one in matched if one)
                else:
                    identities.update(identity for (identity,) in found)
        database.executemany(
            "INSERT INTO translators (identity) VALUES (?)", ((i,) for i in sorted(identities))
        )
        for path in paths:
            with _attached(database, path):
                _take_over(database, "one")
                if _has(database, "one", "attempts"):
                    database.execute(
                        "INSERT INTO main.attempts "
                        "SELECT main.translators.number, source, first, again, retried FROM one.attempts "
                        "JOIN one.translators ON one.translators.number = translator "
                        "JOIN main.translators ON main.translators.identity = one.translators.identity "
                        "WHERE true "  # ends the JOIN, or SQLite reads ON CONFLICT as its condition
                        f"{_LESSER_WINS}"
                    )
                # Memories of earlier versions have no scores.
                if _has(database, "one", "scores"):
                    database.execute(
                        "INSERT INTO main.scores SELECT key, score FROM one.scores WHERE true "
                        "ON CONFLICT DO UPDATE SET score = min(score, excluded.score)"
                    )
        # Rewrite the file in key order, so that its bytes do not depend on the order of the insertions.
        database.execute("VACUUM INTO ?", (str(result),))


def _take_over(database: sqlite3.Connection, schema: str) -> bool:
    """Copy the translations in the former table of ``schema`` to main's; whether there was that table."""
    if not _has(database, schema, _FORMER):
        return False
    for number, identity in database.execute(f"SELECT number, identity FROM {schema}.translators").fetchall():
        if found := _FORMER_IDENTITY.fullmatch(identity):
            database.execute("INSERT OR IGNORE INTO main.translators (identity) VALUES (?)", found.groups())
            database.execute(
                "INSERT INTO main.attempts "
                "SELECT (SELECT number FROM main.translators WHERE identity = ?), source, target, NULL, 0 "
                f"FROM {schema}.{_FORMER} WHERE translator = ? AND target IS NOT NULL {_LESSER_WINS}",
                (found[1], number),
            )
    return True


def _has(database: sqlite3.Connection, schema: str, table: str) -> bool:
    found = database.execute(f"SELECT 1 FROM {schema}.sqlite_master WHERE name = ?", (table,))
    return found.fetchone() is not None


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
