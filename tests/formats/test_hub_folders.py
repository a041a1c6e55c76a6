from __future__ import annotations

import io
from pathlib import Path

import pytest
from datasets import Image, List, Value

from ndino.formats.hub_folders import content_key, load_folder, stream_split, write_split
from tests.evaluation.benchmarks import draw_image

TYPES = {"id": Value("string"), "answer": Value("string")}


def png(image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write(folder: Path, *answers: str) -> Path:
    rows = [{"id": str(number), "answer": answer, "note": "out"} for number, answer in enumerate(answers)]
    write_split(folder, "test", rows, TYPES)
    return folder


def test_a_written_split_loads_under_its_name(tmp_path):
    folder = write(tmp_path / "swap-uniba" / "POPE_IT", "sì", "no")
    assert load_folder(folder, split="test").to_list() == [
        {"id": "0", "answer": "sì"},
        {"id": "1", "answer": "no"},
    ]
    assert list(load_folder(folder)) == ["test"]
    write_split(tmp_path / "GQA", "testdev", [{"id": "n0"}], {"id": TYPES["id"]}, config="images")
    with pytest.raises(ValueError, match="test"):
        load_folder(tmp_path / "GQA", split="test")


def test_a_rewritten_folder_is_not_read_from_the_cache(tmp_path):
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


def test_data_behind_links_are_part_of_a_folders_identity(tmp_path):
    disk, folder = tmp_path / "disk", tmp_path / "POPE_IT"
    write(disk, "sì", "no")
    (folder).mkdir()
    (folder / "README.md").write_text(
        (disk / "README.md").read_text().replace("test.parquet", "data/test.parquet")
    )
    (folder / "data").symlink_to(disk)
    first = content_key(folder)
    assert load_folder(folder, split="test")["answer"][:] == ["sì", "no"]
    write(disk, "no", "sì")
    assert content_key(folder) != first
    assert load_folder(folder, split="test")["answer"][:] == ["no", "sì"]
    (folder / "._test.parquet").touch()
    (folder / ".cache").mkdir()
    assert content_key(tmp_path / "disk" / ".." / "POPE_IT") == content_key(folder)


def test_streaming_writes_the_same_split(tmp_path):
    types = {"id": Value("string"), "image": Image(), "answers": List(Value("string"))}
    rows = [{"id": str(n), "image": draw_image(n), "answers": ["a"] * n} for n in range(7)]
    write_split(tmp_path / "once", "test", rows, types)
    taken = []

    def stream():
        for row in rows:
            taken.append(row["id"])
            yield {**row, "image": {"bytes": png(row["image"]), "path": None}, "more": "is left out"}

    assert stream_split(tmp_path / "stream", "test", stream(), types, rows_at_once=3) == 7
    once, streamed = (load_folder(tmp_path / name, split="test") for name in ("once", "stream"))
    assert streamed.features == once.features
    assert streamed["id"][:] == once["id"][:] == taken
    assert streamed["answers"][:] == once["answers"][:]
    assert [one.tobytes() for one in streamed["image"]] == [one.tobytes() for one in once["image"]]


def test_an_interrupted_stream_leaves_no_file(tmp_path):
    def stream():
        yield {"id": "1"}
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        stream_split(tmp_path, "test", stream(), {"id": Value("string")}, rows_at_once=1)
    assert not list(tmp_path.iterdir())
