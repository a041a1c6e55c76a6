from __future__ import annotations

from pathlib import Path

import pytest
from PIL import ExifTags, Image

from ndino.evaluation.lmms_eval_adapter.surroundings import DATASETS_CACHE
from ndino.evaluation.shuffle import VARIABLE
from ndino.evaluation.tasks.framework.gqa_images import gqa_image, gqa_image_ids
from ndino.evaluation.tasks.framework.preparation import TaskDataError
from tests.evaluation.benchmarks import draw_image, write_benchmarks


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images of three ids as files, in folders of any depth."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    folder = tmp_path / "lmms-lab" / "GQA" / "deep"
    folder.mkdir(parents=True)
    for index in range(3):
        draw_image(index).save(folder.parent / ("deep" if index else "") / f"n{index}.png")
    return folder


def test_files_are_found_by_their_ids(files):
    assert gqa_image_ids() == {"n0", "n1", "n2"}
    assert gqa_image("n2").tobytes() == draw_image(2).tobytes()
    with pytest.raises(KeyError, match="n9"):
        gqa_image("n9")


def test_every_image_is_exchanged_for_the_control(files, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    shown = {name: gqa_image(name).tobytes() for name in gqa_image_ids()}
    assert set(shown.values()) == {draw_image(index).tobytes() for index in range(3)}
    assert all(shown[f"n{index}"] != draw_image(index).tobytes() for index in range(3))


def test_equal_images_under_two_ids_are_one_for_the_control(files, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    draw_image(0).save(files / "n0b.jpg", quality=100, subsampling=0)
    Image.open(files / "n0b.jpg").save(files / "n0a.png")
    assert gqa_image("n0a").tobytes() == gqa_image("n0b").tobytes()
    with Image.open(files / "n0a.png") as own:
        assert gqa_image("n0a").tobytes() != own.convert("RGB").tobytes()


def test_a_dataset_has_the_same_images_as_files(tmp_path, monkeypatch):
    monkeypatch.chdir(write_benchmarks(tmp_path / "data", rows=4))
    monkeypatch.setenv(DATASETS_CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    assert gqa_image_ids() == {f"n{index}" for index in range(4)}
    assert gqa_image("n3").tobytes() == draw_image(3).tobytes()


def test_a_dataset_without_ids_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "lmms-lab" / "GQA"
    folder.mkdir(parents=True)
    (folder / "testdev.jsonl").write_text('{"image": "a.bmp"}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATASETS_CACHE, str(tmp_path / "cache"))
    with pytest.raises(TaskDataError, match="lmms-lab/GQA: no column id"):
        gqa_image_ids()


def test_the_exif_orientation_of_a_file_is_applied(tmp_path, monkeypatch):
    folder = tmp_path / "lmms-lab" / "GQA"
    folder.mkdir(parents=True)
    lying = Image.new("RGB", (40, 20))
    exif = lying.getexif()
    exif[ExifTags.Base.Orientation] = 6
    lying.save(folder / "n1.jpg", exif=exif)
    monkeypatch.chdir(tmp_path)
    assert gqa_image("n1").size == (20, 40)
