"""Merging shards: equal bytes for any number of them, and what is refused."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.common.errors import UsageError
from ndino.data.framework import merge as merging
from ndino.data.framework.merge import merge
from ndino.data.framework.shards import DataError, Shard, ShardWriter
from ndino.data.translation.memory import Attempts, TranslationMemory
from tests.commands import data as main
from tests.data.framework import toy
from tests.properties import examples


def make(out: Path, count: int, limit: int = toy.ITEMS) -> None:
    for index in range(count):
        with ShardWriter(out, Shard(index, count), toy.SETTINGS | {"limit": limit}) as writer:
            toy.work_through(writer, limit=limit)
            writer.finish()


@pytest.fixture(scope="module")
def seven(tmp_path_factory) -> Path:
    """Seven whole shards, not merged."""
    out = tmp_path_factory.mktemp("seven") / "out"
    make(out, 7)
    return out


@pytest.fixture
def shards(seven, tmp_path) -> Path:
    return Path(shutil.copytree(seven, tmp_path / "out"))


@examples(8)
@given(st.integers(1, 12), st.integers(0, 20))
def test_any_number_of_shards_gives_the_same_bytes(count, limit):
    with tempfile.TemporaryDirectory() as folder:
        one, many = Path(folder, "one"), Path(folder, "many")
        make(one, 1, limit)
        make(many, count, limit)
        assert merge(one) == merge(many)
        assert toy.files_below(one) == toy.files_below(many)


def test_rows_are_in_item_order_and_counted_in_the_manifest(shards):
    manifest = merge(shards)
    rows = [json.loads(line) for line in (shards / "data.jsonl").read_bytes().splitlines()]
    numbers = [int(row["id"].partition("-")[0]) for row in rows]
    assert numbers == sorted(numbers) and len(rows) == 60
    assert manifest["rows"] == {"total": 60, "sources": {"toy/images": 30, "toy/text": 30}}
    assert manifest["images"] == len({row["image"] for row in rows if "image" in row})
    assert manifest["images"] == sum(path.is_file() for path in (shards / "images").rglob("*"))
    assert manifest["rejects"] == {"no caption": 15}
    assert manifest["counts"] == {"images/rows": 30, "text/rows": 30}
    assert (manifest["source"], manifest["lang"]) == ("toy", "it")
    assert "limit" in manifest["settings"] and manifest["inputs"] == toy.SETTINGS["inputs"]
    card = (shards / "README.md").read_text()
    for told in ("| toy/text | 30 |", "| no caption | 15 |", "toy.tsv", "60 rows"):
        assert told in card


def test_a_merge_can_be_repeated_also_after_a_kill(shards, monkeypatch):
    left = shards / ".data.jsonl.123.tmp"
    left.write_bytes(b"of a killed merge")
    with monkeypatch.context() as patched:
        # A death between data.jsonl and the manifest.
        patched.setattr(merging, "card", lambda manifest: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            merge(shards)
    assert not merging.is_merged(shards) and not left.exists()
    merge(shards)
    assert merging.is_merged(shards)
    first = toy.files_below(shards)
    merge(shards)
    assert toy.files_below(shards) == first


def test_missing_and_unfinished_shards_are_refused(shards, capsys):
    folder = shards / "shards" / "00003-of-00007"
    folder.rename(folder.with_name(folder.name + ".partial"))
    assert main(["merge", str(shards)]) == 1
    said = capsys.readouterr().err
    assert "unfinished" in said and "--shard 3/7" in said and said.count("\n") == 1
    shutil.rmtree(folder.with_name(folder.name + ".partial"))
    with pytest.raises(DataError, match="missing"):
        merge(shards)
    assert not (shards / "data.jsonl").exists()


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(UsageError, match="has no shards"):
        merge(tmp_path)


@pytest.mark.parametrize("harm", ["cut", "flip", "empty"])
def test_torn_shards_are_refused(shards, harm):
    journal = shards / "shards" / "00002-of-00007" / "journal.jsonl"
    content = journal.read_bytes()
    torn = {"cut": content[:-5], "flip": content.replace(b"numero", b"numers", 1), "empty": b""}[harm]
    assert torn != content
    journal.write_bytes(torn)
    with pytest.raises(DataError, match="torn"):
        merge(shards)


def change(shards: Path, **changes) -> None:
    done = shards / "shards" / "00002-of-00007" / "done.json"
    done.write_text(json.dumps(json.loads(done.read_text()) | changes))


def test_shards_that_differ_are_refused(shards, tmp_path):
    change(shards, settings=toy.SETTINGS | {"limit": 3})
    with pytest.raises(DataError, match="other settings: limit 3, now 60"):
        merge(shards)


def test_shards_of_another_input_and_another_count_are_refused(shards, tmp_path):
    make(tmp_path / "short", 7, limit=40)
    short = tmp_path / "short" / "shards" / "00002-of-00007"
    shutil.rmtree(shards / "shards" / short.name)
    shutil.copytree(short, shards / "shards" / short.name)
    change(shards, settings=toy.SETTINGS | {"limit": 60})
    with pytest.raises(DataError, match="9, 9, 6, 9, 8, 8, 8 items, so they are not of one input"):
        merge(shards)
    make(tmp_path / "two", 2)
    shutil.copytree(tmp_path / "two" / "shards" / "00001-of-00002", shards / "shards" / "00001-of-00002")
    with pytest.raises(DataError, match="has 2 shards, this run expects 7"):
        merge(shards)


def test_translation_memories_are_merged(shards):
    for index in range(7):
        memory = TranslationMemory(shards / "shards" / f"0000{index}-of-00007" / "memory.sqlite")
        memory.remember("toy", {f"text {index}": Attempts(f"testo {index}")})
        memory.close()
    merge(shards)
    memory = TranslationMemory(shards / "memory.sqlite")
    found = memory.look_up("toy", [f"text {index}" for index in range(7)])
    memory.close()
    assert [found[f"text {index}"].first for index in range(7)] == [f"testo {index}" for index in range(7)]
