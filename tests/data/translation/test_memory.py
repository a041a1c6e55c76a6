"""The translation memory: storing, locking, merging, surviving a kill."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.data.errors import DataError
from ndino.data.translation.memory import LOOK_UP_AT_ONCE, Attempts, TranslationMemory, merge_memories
from tests.properties import examples

YES, NO, TWICE = Attempts("sì"), Attempts(None), Attempts("eh", "no", retried=True)


def write(path: Path, identity: str = "one", **content: Attempts) -> Path:
    return store(path, content, identity)


def store(path: Path, content: dict[str, Attempts], identity: str = "one") -> Path:
    memory = TranslationMemory(path)
    memory.remember(identity, content)
    memory.close()
    return path


def read(path: Path, *sources: str, identity: str = "one") -> dict[str, Attempts]:
    memory = TranslationMemory(path)
    try:
        return memory.look_up(identity, sources)
    finally:
        memory.close()


def test_all_attempts_are_stored_by_translator(tmp_path: Path) -> None:
    path = write(tmp_path / "deep" / "memory.sqlite", yes=YES, no=NO, twice=TWICE)
    assert read(path, "yes", "no", "twice", "never") == {"yes": YES, "no": NO, "twice": TWICE}
    assert read(path, "yes", identity="two") == {}


FORMER = """
DROP TABLE attempts;
CREATE TABLE segments (translator, source, target, reason, PRIMARY KEY (translator, source)) WITHOUT ROWID;
INSERT INTO translators VALUES (1, 'one; guards 2 0a'), (2, 'one; guards 3 0b'),
    (3, 'one; guards 0c'), (4, 'x');
INSERT INTO segments VALUES (1, 'yes', 'sì', NULL), (1, 'no', NULL, 'number lost'), (1, 'both', 'b', NULL),
    (2, 'both', 'a', NULL), (3, 'cut', 'taglia', NULL);
"""


def write_former(path: Path) -> Path:
    """A memory of before, which kept what passed the checks, and the reasons of the others."""
    TranslationMemory(path).close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(FORMER)
    return path


def test_what_passed_the_checks_of_a_former_memory_is_taken_over(tmp_path: Path) -> None:
    path = write_former(tmp_path / "memory.sqlite")
    for _ in range(2):
        # Not what the first checks let pass: they did not ask whether it was cut off.
        assert read(path, "yes", "no", "both", "cut") == {"yes": YES, "both": Attempts("a")}
    assert write(path, yes=NO) and read(path, "yes") == {"yes": NO}


def test_former_memories_are_merged_like_those_that_were_taken_over(tmp_path: Path) -> None:
    former, taken_over = (write_former(tmp_path / name) for name in ("former.sqlite", "taken.sqlite"))
    TranslationMemory(taken_over).close()
    content = former.read_bytes()
    new = write(tmp_path / "new.sqlite", both=YES, new=TWICE)
    for name, old in (("a", former), ("b", taken_over)):
        merge_memories([new, old], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() and former.read_bytes() == content
    expected = {"yes": YES, "both": Attempts("a"), "new": TWICE}
    assert read(tmp_path / "a", "yes", "no", "both", "cut", "new") == expected


def test_many_are_looked_up_at_once(tmp_path: Path) -> None:
    content = {f"text {i}": Attempts(f"testo {i}") for i in range(2 * LOOK_UP_AT_ONCE + 3)}
    path = write(tmp_path / "memory.sqlite", **content)
    assert read(path, *content) == content


def test_a_second_process_cannot_open_the_memory(tmp_path: Path) -> None:
    memory = TranslationMemory(tmp_path / "memory.sqlite")
    with pytest.raises(DataError, match="another process"):
        TranslationMemory(tmp_path / "memory.sqlite")
    memory.close()
    TranslationMemory(tmp_path / "memory.sqlite").close()


def test_a_file_that_is_not_a_memory_is_named(tmp_path: Path) -> None:
    (tmp_path / "memory.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(DataError, match=r"memory\.sqlite: .*remedy: remove"):
        TranslationMemory(tmp_path / "memory.sqlite")
    with pytest.raises(DataError, match=r"memory\.sqlite: .*remedy: remove"):
        merge_memories([tmp_path / "memory.sqlite"], tmp_path / "all.sqlite")
    assert [path.name for path in tmp_path.iterdir()] == ["memory.sqlite"]


def test_a_missing_memory_is_an_error_and_the_merged_file_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "a.sqlite", yes=YES)
    with pytest.raises(DataError, match=r"b\.sqlite: the translation memory is missing"):
        merge_memories([path, tmp_path / "b.sqlite"], tmp_path / "all.sqlite")
    assert not (tmp_path / "all.sqlite").exists()


def test_merged_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    """One that reached its end goes before one that did not, one that was not repeated before one that was,
    and of two the first by code points; whatever the order."""
    write(tmp_path / "a.sqlite", both=Attempts("a"), ended=NO, only=YES, repeated=TWICE)
    write(tmp_path / "b.sqlite", ended=YES, both=Attempts("b"), twice=Attempts(None, "b", retried=True))
    write(tmp_path / "c.sqlite", identity="two", both=Attempts("c"))
    again = Attempts(None, "a", retried=True)
    write(tmp_path / "c.sqlite", twice=again, both=Attempts("z"), repeated=Attempts("so"))
    paths = [tmp_path / f"{name}.sqlite" for name in "abc"]
    found = set()
    for number, order in enumerate(itertools.permutations(paths)):
        into = tmp_path / f"all-{number}.sqlite"
        merge_memories(order, into)
        found.add(into.read_bytes())
        # Again and into itself: a shard that was added later.
        merge_memories([into, *paths], into)
        found.add(into.read_bytes())
    assert len(found) == 1
    assert read(into, "both", "ended", "only", "twice", "repeated") == {
        "both": Attempts("a"),
        "ended": YES,
        "only": YES,
        "twice": again,
        "repeated": Attempts("so"),
    }
    assert read(into, "both", identity="two") == {"both": Attempts("c")}


@examples(15)
@given(
    st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), st.text(max_size=5)),
    st.integers(1, 5),
)
def test_any_split_merges_to_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, str], count: int
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    known = {source: Attempts(target.encode(errors="replace").decode()) for source, target in content.items()}
    whole = store(folder / "whole.sqlite", known)
    parts = []
    for index in range(count):
        items = list(known.items())[index::count]
        parts.append(store(folder / f"{index}.sqlite", dict(reversed(items))))
    merge_memories([whole], folder / "one")
    merge_memories(parts, folder / "many")
    assert (folder / "one").read_bytes() == (folder / "many").read_bytes()


def test_the_journal_of_a_killed_run_is_rolled_back(tmp_path: Path) -> None:
    path = write(tmp_path / "memory.sqlite", yes=YES)
    # What a kill in the middle of a commit leaves: the journal, and pages that are already changed.
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA cache_size = 1")
    database.execute("BEGIN")
    for i in range(2000):
        database.execute("INSERT INTO attempts VALUES (1, ?, ?, NULL, 0)", (f"text {i}" * 20, "half"))
    copy = tmp_path / "killed.sqlite"
    copy.write_bytes(path.read_bytes())
    copy.with_name("killed.sqlite-journal").write_bytes(path.with_name("memory.sqlite-journal").read_bytes())
    database.close()
    assert read(copy, "yes", "text 0" * 20) == {"yes": YES}


def test_scores_are_kept_by_scorer_source_and_translation(tmp_path: Path) -> None:
    with contextlib.closing(TranslationMemory(tmp_path / "memory.sqlite")) as memory:
        there = {"a dog": "un cane", "a cat": "un gatto"}
        memory.remember_scores("chrf", there, {"a dog": 0.5, "a cat": 0.25})
        assert memory.scores("chrf", there) == {"a dog": 0.5, "a cat": 0.25}
        assert memory.scores("chrf", {"a dog": "il cane"}) == {}
        assert memory.scores("comet", there) == {}


def test_merged_memories_hold_all_scores_and_older_memories_have_none(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.sqlite" for name in "abc"]
    for path, score in zip(paths, (0.5, 0.25, 0.75), strict=True):
        with contextlib.closing(TranslationMemory(path)) as memory:
            memory.remember("t", {"a dog": Attempts("un cane")})
            there = {"a dog": "un cane", path.stem: "x"}
            memory.remember_scores("chrf", there, {"a dog": score, path.stem: 1.0})
    with contextlib.closing(sqlite3.connect(paths[2])) as old:
        old.execute("DROP TABLE scores")
        old.commit()
    merge_memories(paths, tmp_path / "one.sqlite")
    merge_memories(paths[::-1], tmp_path / "other.sqlite")
    assert (tmp_path / "one.sqlite").read_bytes() == (tmp_path / "other.sqlite").read_bytes()
    with contextlib.closing(TranslationMemory(tmp_path / "one.sqlite")) as memory:
        found = memory.scores("chrf", {"a dog": "un cane", "a": "x", "b": "x", "c": "x"})
    assert found == {"a dog": 0.25, "a": 1.0, "b": 1.0}
