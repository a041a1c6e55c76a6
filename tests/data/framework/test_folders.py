"""Finished data folders: opening them, and what rows say of their images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ndino.common.images import leaves_the_folder
from ndino.data.errors import DataError
from ndino.data.framework.folders import images_of, one_or_all, open_folder, read_manifest


def test_a_finished_folder_opens_with_its_manifest(finished: Path) -> None:
    folder = open_folder(finished)
    assert (folder.name, folder.data, folder.images) == ("toy", finished / "data.jsonl", finished / "images")
    assert folder.manifest and folder.manifest["rows"]["total"] == 60


def test_a_folder_of_somebody_else_has_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text("{}\n")
    assert open_folder(tmp_path).manifest is None


def test_the_remedy_for_an_unfinished_folder_is_to_finish_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data\.jsonl in it \(remedy: name a data folder"):
        open_folder(tmp_path)
    (tmp_path / "shards").mkdir()
    with pytest.raises(DataError, match=r"remedy: finish its command, or: ndino data merge"):
        open_folder(tmp_path)


@pytest.mark.parametrize("left", ["shards", "rejects.jsonl"])
def test_a_folder_of_ours_without_its_manifest_is_refused(tmp_path: Path, left: str) -> None:
    (tmp_path / "data.jsonl").touch()
    assert open_folder(tmp_path).manifest is None  # somebody else's
    (tmp_path / left).mkdir() if left == "shards" else (tmp_path / left).touch()
    with pytest.raises(DataError, match=r"manifest\.json: no such file \(remedy: "):
        open_folder(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": {}}', '{"files": {}, "rows": 3}'])
def test_a_broken_manifest_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json: broken, .*remedy: rebuild"):
        read_manifest(tmp_path)


def test_a_manifest_is_read_as_written(tmp_path: Path) -> None:
    manifest = {"files": {}, "rows": {"sources": {"toy": 1}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize(
    ("row", "images"),
    [({"image": "a.jpg"}, ["a.jpg"]), ({"image": ["a", "b"]}, ["a", "b"]), ({}, []), ({"image": None}, [])],
)
def test_the_images_of_a_row(row: dict, images: list[str]) -> None:
    assert images_of(row) == images


@pytest.mark.parametrize(
    ("image", "leaves"),
    [
        ("a.jpg", False),
        ("ab/a..jpg", False),
        ("../a.jpg", True),
        ("ab/../../a", True),
        ("/etc/hostname", True),
    ],
)
def test_whether_an_image_is_outside_the_folder(image: str, leaves: bool) -> None:
    assert leaves_the_folder(image) is leaves


def test_one_value_or_all_of_them() -> None:
    assert one_or_all(["it", None, "it"]) == "it"
    assert one_or_all(["it", "en", "it"]) == ["en", "it"]
    assert one_or_all([None]) is None
