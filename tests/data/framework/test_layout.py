"""The files of a data folder: its shards, their settings, and what killed runs left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ndino.data.errors import DataError
from ndino.data.framework.layout import refuse_other_settings, remove_left_over, shard_folders


def begin(shards: Path, name: str, settings: dict) -> None:
    folder = shards / name
    folder.mkdir(parents=True)
    complete = not name.endswith(".partial")
    content = {"settings": settings} if complete else settings
    (folder / ("done.json" if complete else "settings.json")).write_text(json.dumps(content))


def test_only_folders_of_shards_are_listed_in_order(tmp_path: Path) -> None:
    for name in ("00001-of-00003.partial", "00000-of-00003", "notes", "00002-of-3", "00002-of-00003.old"):
        (tmp_path / name).mkdir()
    assert shard_folders(tmp_path) == [
        (tmp_path / "00000-of-00003", 3),
        (tmp_path / "00001-of-00003.partial", 3),
    ]


@pytest.mark.parametrize("name", ["00000-of-00002", "00000-of-00002.partial"])
def test_a_shard_with_other_settings_or_another_count_is_refused(tmp_path: Path, name: str) -> None:
    begin(tmp_path / "shards", name, {"lang": "it", "limit": 8})
    refuse_other_settings(tmp_path / "shards", {"lang": "it", "limit": 8}, 2)
    with pytest.raises(DataError, match=r"limit 8, now 9 \(remedy"):
        refuse_other_settings(tmp_path / "shards", {"lang": "it", "limit": 9}, 2)
    with pytest.raises(DataError, match="width None, now 3"):
        refuse_other_settings(tmp_path / "shards", {"lang": "it", "limit": 8, "width": 3}, 2)
    with pytest.raises(DataError, match=r"has 2 shards, this run expects 5 \(remedy: --shard i/2"):
        refuse_other_settings(tmp_path / "shards", {"lang": "it", "limit": 8}, 5)


@pytest.mark.parametrize("name", ["00000-of-00002", "00000-of-00002.partial"])
def test_a_folder_that_older_guards_made_is_named(tmp_path: Path, name: str) -> None:
    begin(tmp_path / "shards", name, {"lang": "it", "translator": "a; guards 1"})
    with pytest.raises(DataError, match=r"made under guards of version 1, these are version 2.*remedy"):
        refuse_other_settings(
            tmp_path / "shards", {"lang": "it", "translator": "a; guards 2", "guards": 2}, 2
        )


def test_a_shard_killed_before_its_settings_were_written_refuses_nothing(tmp_path: Path) -> None:
    (tmp_path / "00000-of-00002.partial").mkdir()
    refuse_other_settings(tmp_path, {"lang": "it"}, 7)


def test_only_temporary_files_are_removed(tmp_path: Path) -> None:
    for name in (".data.jsonl.12.tmp", "data.jsonl", ".hidden"):
        (tmp_path / name).touch()
    remove_left_over(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "data.jsonl"]
