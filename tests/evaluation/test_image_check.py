"""Damaged images of a task of lmms-eval's own are named before a model is loaded, if the data are local."""

from __future__ import annotations

import pytest

from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.errors import SetupError
from tests.evaluation.answer_files import png
from tests.evaluation.english_pope import write_pope


def test_damaged_images_of_other_peoples_tasks_are_named_once_each(tmp_path, monkeypatch):
    whole = png((60, 60), seed=0)
    contents = [whole, whole[:-600], whole, b"no image"]
    write_pope(tmp_path, [{"bytes": content, "path": None} for content in contents])
    monkeypatch.chdir(tmp_path)
    benchmarks = Benchmarks(["pope"], data=tmp_path, cache=tmp_path / "cache")
    with pytest.raises(SetupError) as caught:
        benchmarks.load()
    said = str(caught.value)
    assert said.startswith("task pope: document 1: image cannot be read: ") and "truncated" in said
    assert "; document 3: image cannot be read: cannot identify" in said and said.count("document") == 2
    # What is not asked is not looked at, nor what is no image or cannot be shown at all.
    benchmarks.limit = 1
    benchmarks.load()
    config = benchmarks.task("pope").task.config
    for shown in (lambda document: ["clip.mp4"], lambda document: None, lambda document: document["video"]):
        monkeypatch.setattr(config, "doc_to_visual", shown)
        benchmarks._sizes.clear()
        assert benchmarks.image_sizes("pope") == []


def test_a_damaged_image_is_named_though_a_later_document_shows_none(tmp_path, monkeypatch):
    whole = png((60, 60), seed=0)
    write_pope(tmp_path, [{"bytes": content, "path": None} for content in (whole, whole[:-600], whole)])
    monkeypatch.chdir(tmp_path)
    benchmarks = Benchmarks(["pope"], data=tmp_path, cache=tmp_path / "cache")
    config = benchmarks.task("pope").task.config
    fields = {"0": "image", "2": "video"}
    monkeypatch.setattr(config, "doc_to_visual", lambda document: [document[fields[document["id"]]]])
    with pytest.raises(SetupError, match=r"^task pope: document 1: image cannot be read: .*truncated"):
        benchmarks.load()
