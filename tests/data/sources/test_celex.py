"""CELEX numbers and the files that list them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from ndino.common.errors import UsageError
from ndino.data.errors import DataError
from ndino.data.sources.celex import CELEX, list_files, read_numbers
from ndino.data.sources.eurlex import check_numbers

NUMBERS = ["32006D0213", "32003R1330", "31979D0509"]
ROWS = "".join(
    json.dumps({"celex_id": number, "text": {"it": "ciao"}, "labels": [1]}) + "\n" for number in NUMBERS
)


def numbers_of(path) -> list[str]:
    return list(read_numbers(list_files(str(path))))


@pytest.mark.parametrize(
    "number",
    [
        *NUMBERS,
        "32016R0679",
        "32016R0679R(02)",
        "02016R0679-20160504",
        "52016XC0719(05)",
        "62019CJ0311",
        "E2019C0001",
    ],
)
def test_valid_numbers(number):
    assert CELEX.fullmatch(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "32006D",
        "3206D0213",
        "32006d0213",
        "32006D0213 ",
        "celex_id",
        "../32006D0213",
        "32006D02134",
        "32006D٠٢١٣",
    ],
)
def test_invalid_numbers(text):
    assert not CELEX.fullmatch(text)


@given(st.from_regex(CELEX, fullmatch=True))
def test_a_number_is_a_safe_file_name(number):
    assert not set(number) & set("/\\\0\n.") and 8 <= len(number) < 40


@given(st.lists(st.sampled_from([*NUMBERS, "Titolo", "x"]), max_size=12))
def test_repeated_and_invalid_numbers_have_a_fault(numbers):
    found = list(check_numbers(iter(numbers)))
    assert [document.name for document in found] == numbers
    assert sum(not document.fault for document in found) == len(set(numbers) & set(NUMBERS))
    assert {document.fault for document in found} <= {"", "not a CELEX number", "given twice"}


@pytest.mark.parametrize("kind", ["txt", "parquet", "jsonl", "jsonl.gz", "tar.gz"])
def test_every_file_type_is_read(tmp_path, kind):
    path = tmp_path / f"train.{kind}"
    if kind == "txt":
        path.write_text("\ufeff" + "\r\n".join(NUMBERS[:2]) + f"\n\n  {NUMBERS[2]}\t")
    elif kind == "parquet":
        parquet.write_table(pa.table({"text": ["a"] * 3, "celex_id": NUMBERS}), path)
    elif kind == "jsonl":
        path.write_text(ROWS + "\n")
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress(ROWS.encode()))
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in (("a/._train.jsonl", "\0"), ("a/train.jsonl", ROWS), ("README.md", "#")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content.encode()))
    assert numbers_of(path) == NUMBERS


def test_a_folder_is_read_in_path_order(tmp_path):
    for name, number in (("b.txt", NUMBERS[1]), ("c/a.jsonl", NUMBERS[2]), ("a.txt", NUMBERS[0])):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"celex_id": number}) if "json" in name else number)
    (tmp_path / "README.md").write_text("no numbers")
    assert numbers_of(tmp_path) == NUMBERS


def test_a_data_set_on_the_hub(tmp_path, monkeypatch):
    """As the hub's own client keeps it; nothing is asked for over the network."""
    cache = tmp_path / "datasets--owner--laws"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0" * 40)
    (cache / "snapshots" / ("0" * 40) / "data").mkdir(parents=True)
    (cache / "snapshots" / ("0" * 40) / "data" / "train.jsonl").write_text(ROWS)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert numbers_of("owner/laws") == NUMBERS
    with pytest.raises(UsageError, match=r"owner/others: no such file .* hub: .*remedy: download it"):
        numbers_of("owner/others")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"celex_id", r"unknown file type .*\.parquet"),
        ("a.jsonl", b'{"celex_id": "1"}\n{"id": 1}\n', r"a\.jsonl row 2: no celex_id"),
        ("a.jsonl", b"[1]\n", r"row 1: no celex_id"),
        ("a.jsonl", b"{\n", r"row 1: broken JSON"),
        ("a.jsonl.gz", b"no gzip", r"broken, .*remedy: fetch it again"),
        ("a.jsonl.gz", gzip.compress(ROWS.encode(), mtime=0)[:40], r"broken, .*remedy: fetch it again"),
        ("a.tar.gz", b"no tar", r"broken, .*remedy: fetch it again"),
        ("a.parquet", b"PAR1 no parquet", r"broken, .*remedy: fetch it again"),
        ("a.txt", b"\xff\xfe3", r"broken, .*remedy: fetch it again"),
    ],
    ids=["kind", "column", "list", "json", "no-gzip", "torn-gzip", "no-tar", "no-parquet", "no-utf-8"],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        numbers_of(tmp_path / name)


def test_a_table_without_the_column(tmp_path):
    parquet.write_table(pa.table({"text": ["a"], "labels": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"no column celex_id among text, labels \(remedy: "):
        numbers_of(tmp_path)


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(DataError, match="no file with CELEX numbers"):
        numbers_of(tmp_path)
    with pytest.raises(UsageError, match="not a file, a folder or a data set on the hub"):
        numbers_of(tmp_path / "numbers.txt")
