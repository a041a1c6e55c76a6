"""A run with a checkpoint keeps the index that it began with, and its images."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from PIL import Image

from ndino.train.rows import building, run_index
from ndino.train.rows.damage import DAMAGED
from ndino.train.rows.run_index import RECORD, stage_index
from ndino.train.stage import StageError, StageStopped
from tests.train.conftest import ROWS
from tests.train.rows.test_building import add_rows, flip


@pytest.fixture
def begun(stage, built, data, monkeypatch):
    """A stage on data that may be changed, which has a checkpoint once ``monkeypatch`` has pretended so."""
    stage = dataclasses.replace(stage, data=data, image_folder=data.parent / "images")
    stage_index(stage, built[1])
    monkeypatch.setattr(run_index, "newest_complete_checkpoint", lambda out: out / "checkpoint-2")
    return stage


def test_a_run_with_a_checkpoint_keeps_its_index(stage, built, data, monkeypatch):
    add_rows(data, {"id": "late", "image": "late.png"})
    images = data.parent / "images"
    stage = dataclasses.replace(stage, data=data, image_folder=images)
    began = stage_index(stage, built[1])
    assert len(began) == ROWS
    monkeypatch.setattr(run_index, "newest_complete_checkpoint", lambda out: out / "checkpoint-2")
    shutil.copy(images / "0.png", images / "late.png")
    assert stage_index(stage, built[1]).folder == began.folder, "the order of samples would change"
    shutil.rmtree(began.folder)
    with pytest.raises(StageError, match="had other usable rows when the run began"):
        stage_index(stage, built[1])
    monkeypatch.setattr(run_index, "newest_complete_checkpoint", lambda out: None)
    assert len(stage_index(stage, built[1])) == ROWS + 1, "a run that starts anew takes the repaired row"


def test_a_damaged_index_of_a_run_is_made_again_with_the_same_rows(begun, built, capsys):
    began = stage_index(begun, built[1])
    flip(began.folder / "rows-00000.arrow", 2000)
    again = stage_index(begun, built[1])
    assert again.folder != began.folder and again.digest == began.digest
    assert "damaged, another index is used or made" in capsys.readouterr().out
    assert json.loads((begun.out / RECORD).read_text())["folder"] == str(again.folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"folder": 3, "rows": ""}', '{"folder": "x"}'])
def test_a_broken_record_is_one_line_and_a_missing_one_is_told(begun, built, content, capsys):
    (begun.out / RECORD).write_text(content)
    plain = r"damaged: (Expecting .*|its content is not what was written) \(remedy: remove it if neither"
    with pytest.raises(StageError, match=rf"index\.json: {plain}"):
        stage_index(begun, built[1])
    (begun.out / RECORD).unlink()
    assert len(stage_index(begun, built[1])) == ROWS
    assert "index.json: is missing; the run resumes with the rows that" in capsys.readouterr().out
    assert stage_index(begun, built[1]) and not capsys.readouterr().out


def test_other_images_by_the_same_names_are_refused_on_a_resume(begun, built, monkeypatch):
    path = begun.image_folder / "3.png"
    with Image.open(path) as image:
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    shutil.copy(path, path.with_suffix(".old"))
    mirrored.save(path)
    with pytest.raises(StageError, match=rf"3\.png: is not the file that it was .*, 1 of {ROWS} images"):
        stage_index(begun, built[1])
    (begun.out / DAMAGED).write_text('{"4": "3.png: cannot be read"}')
    stage_index(begun, built[1])
    (begun.out / DAMAGED).unlink()
    with pytest.raises(StageError, match="put the old images back"):
        stage_index(begun, built[1])
    path.with_suffix(".old").rename(path)
    stage_index(begun, built[1])
    path.unlink()
    stage_index(begun, built[1])  # a missing image is another matter
    mirrored.save(path)
    monkeypatch.setattr(run_index, "newest_complete_checkpoint", lambda out: None)
    stage_index(begun, built[1])  # without a checkpoint nothing was trained on the old one


def test_a_stop_while_indexing_keeps_the_shards_that_were_written(stage, data, built, monkeypatch):
    stage = dataclasses.replace(stage, data=data)
    monkeypatch.setattr(building, "SHARD_ROWS", 5)
    asked: list[int] = []
    with pytest.raises(StageStopped, match="stopped while indexing"):
        stage_index(stage, built[1], stopped=lambda: asked.append(1) or len(asked) > 7)
    assert len(asked) == 8, "no row after it"
    assert [path.name for path in stage.data.parent.glob(".index/*/*.arrow")] == ["rows-00000.arrow"]
    asked.clear()
    assert len(stage_index(stage, built[1], stopped=lambda: bool(asked.append(1)))) == ROWS
    assert len(asked) == ROWS - 5, "the first shard is not made again"
