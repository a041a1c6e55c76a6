from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Value

from ndino.hub_folders import content_key, load_folder, write_split

TYPES = {"id": Value("string"), "answer": Value("string")}


def write(folder: Path, *answers: str) -> Path:
    rows = [{"id": str(number), "answer": answer, "note": "out"} for number, answer in enumerate(answers)]
    write_split(folder, "test", rows, TYPES)
    return folder


def test_what_is_written_is_loaded_by_split(tmp_path):
    folder = write(tmp_path / "swap-uniba" / "POPE_IT", "sì", "no")
    assert load_folder(folder, split="test").to_list() == [
        {"id": "0", "answer": "sì"},
        {"id": "1", "answer": "no"},
    ]
    assert list(load_folder(folder)) == ["test"]
    write_split(tmp_path / "GQA", "testdev", [{"id": "n0"}], {"id": TYPES["id"]}, config="pictures")
    with pytest.raises(ValueError, match="test"):
        load_folder(tmp_path / "GQA", split="test")


def test_a_folder_that_was_written_anew_is_read_anew(tmp_path):
    folder = write(tmp_path / "POPE_IT", "sì", "no")
    first = content_key(folder)
    assert load_folder(folder, split="test")["answer"][:] == ["sì", "no"]
    write(folder, "no", "sì")
    assert content_key(folder) != first
    assert load_folder(folder, split="test")["answer"][:] == ["no", "sì"]
    other = write(tmp_path / "elsewhere" / "POPE_IT", "forse")
    assert load_folder(other, split="test")["answer"][:] == ["forse"]
    write(folder, "sì", "no")
    assert content_key(folder) == first
