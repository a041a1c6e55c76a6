"""The translation memory: one SQLite file that holds what was translated and what was refused."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ndino.common.files import whole_file
from ndino.data.errors import DataError
from ndino.data.translation.translator import Translated

LOOK_UP_AT_ONCE = 500  # SQLite takes 999 parameters in its oldest builds
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
"""


class Memory:
    """Translations by translator and source text, in a file of one process.

    What ``remember`` was given is on the disk when it returns, so a killed run loses nothing of it. The file
    keeps SQLite's rollback journal instead of the faster WAL: WAL shares memory between processes through a
    mapped file, which the network file systems of clusters do not offer, and it leaves two more files beside
    the memory that a copy must not forget. A rollback journal that a kill -9 left is played back by the next
    opening. One commit a batch makes its cost disappear beside the translating.

    Raises DataError where the file is no memory, or in the hands of another process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _explained(path):
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None)
            try:
                # One process a file: the lock is taken once and kept, not at every commit over the network.
                self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
                # The journal is cut instead of deleted: fewer calls to a cluster's metadata server.
                self._database.execute("PRAGMA journal_mode = TRUNCATE")
                self._database.execute("BEGIN EXCLUSIVE")
                for statement in filter(str.strip, SCHEMA.split(";")):
                    self._database.execute(statement)
                self._database.execute("COMMIT")
            except sqlite3.Error:
                self._database.close()
                raise

    def look_up(self, identity: str, sources: Sequence[str]) -> dict[str, Translated]:
        """What is known of ``sources`` from the translator ``identity``."""
        found = {}
        with _explained(self.path):
            for start in range(0, len(sources), LOOK_UP_AT_ONCE):
                some = sources[start : start + LOOK_UP_AT_ONCE]
                rows = self._database.execute(
                    "SELECT source, target, reason FROM segments JOIN translators ON number = translator "
                    f"WHERE identity = ? AND source IN ({','.join('?' * len(some))})",
                    (identity, *some),
                )
                found.update((source, Translated(target, reason)) for source, target, reason in rows)
        return found

    def remember(self, identity: str, translated: Mapping[str, Translated]) -> None:
        """Keep ``translated``, by source text; all of it or, when killed, nothing."""
        with _explained(self.path):
            self._database.execute("BEGIN")
            self._database.execute("INSERT OR IGNORE INTO translators (identity) VALUES (?)", (identity,))
            self._database.executemany(
                "INSERT OR REPLACE INTO segments SELECT number, ?, ?, ? FROM translators WHERE identity = ?",
                [(source, one.text, one.reason, identity) for source, one in translated.items()],
            )
            self._database.execute("COMMIT")

    def __len__(self) -> int:
        return self._database.execute("SELECT count(*) FROM segments").fetchone()[0]

    def close(self) -> None:
        """Give the file free."""
        self._database.close()


def merge_memories(paths: Sequence[Path], into: Path) -> None:
    """Write to ``into`` what the memories ``paths`` hold together; equal contents give equal bytes.

    Where two translated the same text differently (a neural model rounds differently in other company), a
    translation goes before a refusal and the first by code points before others, whatever the order of
    ``paths``; ``into`` may be one of them. Raises DataError where one is missing or is no memory.
    """
    with whole_file(into) as temporary:
        # In a file and not in RAM: the memory of a whole data set may be larger than a login node likes.
        gathered = temporary.with_name(f"{temporary.name}.gathered")
        try:
            _gather(sorted(set(paths)), gathered, temporary)
        finally:
            gathered.unlink(missing_ok=True)


def _gather(paths: Sequence[Path], gathered: Path, result: Path) -> None:
    with contextlib.closing(sqlite3.connect(gathered, isolation_level=None)) as database:
        # Nobody reads this file after a crash.
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
        # A fresh file in the order of the keys: pages and header do not tell how it came to be.
        database.execute("VACUUM INTO ?", (str(result),))


@contextlib.contextmanager
def _attached(database: sqlite3.Connection, path: Path) -> Iterator[None]:
    if not path.is_file():
        raise DataError(f"{path}: there is no translation memory (remedy: run that shard again)")
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
                f"{path}: another process has this translation memory open "
                "(remedy: let it end, or work on another shard or in another folder)"
            ) from error
        raise DataError(f"{path}: {error} (remedy: is there space, and may you write there?)") from error
    except sqlite3.DatabaseError as error:
        raise DataError(
            f"{path}: {error} (remedy: remove the file, and what it held is translated again)"
        ) from error
