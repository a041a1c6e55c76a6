"""Damaged images of a task of lmms-eval's own are named before a model is loaded, if the data are local."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from datasets import Image as ImageFeature
from datasets import Value
from PIL import Image

from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.errors import SetupError
from ndino.formats.hub_folders import write_split


def encoded() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((60, 60), 50).convert("RGB").save(file, "PNG")
    return file.getvalue()


def write_pope(folder: Path, images: list[bytes]) -> None:
    rows = [
        {
            **{"id": str(i), "question_id": str(i), "question": "Is there a cat?", "answer": "yes"},
            **{"image_source": "x", "image": {"bytes": image, "path": None}, "category": "random"},
        }
        for i, image in enumerate(images)
    ]
    types = {key: ImageFeature() if key == "image" else Value("string") for key in rows[0]}
    write_split(folder / "lmms-lab-encoder" / "POPE", "test", rows, types)


def test_damaged_images_of_other_peoples_tasks_are_named_once_each(tmp_path, monkeypatch):
    whole = encoded()
    write_pope(tmp_path, [whole, whole[:-600], whole, b"no image"])
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
