"""Data sets in the hub's layout, local and on the hub."""

from __future__ import annotations

import hashlib
from pathlib import Path

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ndino.common.errors import UsageError
from ndino.data.errors import DataError
from ndino.data.io.repositories import image_bytes, inputs_of, open_repository, open_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three Parquet files (ten rows, two row groups each) and one unrelated text file."""
    for number in range(3):
        rows = [{"n": number * 10 + row, "text": f"row {number * 10 + row}"} for row in range(10)]
        path = tmp_path / "data" / f"train-{number:05d}-of-00003.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=5)
    (tmp_path / "data" / "notes.txt").write_text("no table")
    return tmp_path


@pytest.mark.parametrize("rows", [None, 1, 5, 12, 20, 30, 99])
def test_the_first_rows_of_all_files_in_order(folder, rows):
    table = open_table(open_repository(str(folder)), ("data/train-*.parquet",), rows=rows)
    expected = range(min(rows or 30, 30))
    assert table.rows == len(expected)
    assert len(table.paths) == -(-len(expected) // 10)
    read = list(table.read(("n", "text"), lambda _: True))
    assert read == [(n, {"n": n, "text": f"row {n}"}) for n in expected]


def test_unwanted_rows_are_counted(folder):
    table = open_table(open_repository(str(folder)), ("data/*.parquet",), rows=28)
    read = list(table.read(("n",), lambda row: row % 7 == 3))
    assert [row for row, _ in read] == list(range(28))
    assert {row: content for row, content in read if content} == {row: {"n": row} for row in (3, 10, 17, 24)}


def test_patterns_are_tried_in_turn(folder):
    repository = open_repository(str(folder))
    assert repository.files(("nowhere/*", "data/*.txt", "data/*")) == ["data/notes.txt"]
    with pytest.raises(DataError, match=r"no file nowhere/\* or \*\.csv"):
        open_table(repository, ("nowhere/*", "*.csv"))


def test_the_record_in_the_manifest(folder):
    repository = open_repository(str(folder))
    table = open_table(repository, ("data/train-*",), rows=11)
    assert inputs_of(repository, [table]) == [
        {"file": f"data/{path.name}", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in table.paths
    ]


def test_only_the_needed_files_are_downloaded_from_the_hub(folder, monkeypatch):
    fetched = []

    def fetch(name: str, file: str, **_: object) -> str:
        fetched.append((name, file))
        return str(folder / file)

    listed = [path.relative_to(folder).as_posix() for path in folder.rglob("*.*")]
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_, **__: listed)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    table = open_table(open_repository("somebody/something"), ("data/train-*.parquet",), rows=15)
    assert fetched == [("somebody/something", f"data/train-{n:05d}-of-00003.parquet") for n in range(2)]
    assert [row for row, _ in table.read(("n",), lambda _: True)] == list(range(15))


@pytest.mark.parametrize("name", ["somebody/something", "no folder: at all"])
def test_an_unreachable_data_set_is_named_with_a_remedy(name):
    # Tests run without the hub.
    with pytest.raises(UsageError, match="remedy: hf download"):
        open_repository(name).files(("*",))


@pytest.mark.parametrize(
    ("cell", "content"),
    [
        ({"bytes": b"x", "path": None}, b"x"),
        (b"x", b"x"),
        ({"bytes": None, "path": "a"}, b""),
        (None, b""),
        ("x", b""),
    ],
)
def test_cells_of_images(cell, content):
    assert image_bytes(cell) == content
