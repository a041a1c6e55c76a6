"""Captions are generated once per data set, in batches that do not change them, beside the other results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from datasets import Image as ImageFeature
from datasets import Value
from PIL import Image

from miniature import captions as miniature_captions
from miniature.captions import score_captions
from ndino.formats.hub_folders import write_split
from tests.evaluation.benchmarks import NAMES, draw_image


def write(folder: Path, captions: list[str]) -> None:
    rows = [{"image": draw_image(index), "answer": caption} for index, caption in enumerate(captions)]
    write_split(folder, "test", rows, {"image": ImageFeature(), "answer": Value("string")})


def test_captions_are_kept_until_the_data_change(tiny_model_folder, tmp_path):
    data, out, reports = tmp_path / "captions", tmp_path / "eval", []

    def score() -> tuple[list[str], int]:
        score_captions("PT", tiny_model_folder, data, out, lambda *done: reports.append(done))
        log = out / "PT" / "captions.jsonl"
        return [json.loads(line)["target"] for line in log.read_text().splitlines()], log.stat().st_mtime_ns

    write(data, NAMES)
    targets, written = score()
    assert targets == NAMES and len(reports) == 2
    assert (out / "PT" / "captions.shuffled.jsonl").exists()
    assert {path.name for path in (out / "images" / "captions").iterdir()} == {f"{i}.png" for i in range(4)}
    assert score() == (NAMES, written) and len(reports) == 2
    write(data, NAMES[::-1])
    assert score()[0] == NAMES[::-1] and len(reports) == 4


def test_batches_of_images_of_several_sizes_get_the_same_captions(tiny_model_folder, tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    sizes = [(112, 112), (200, 112), (224, 120), (90, 170), (120, 224), (112, 112)]
    images = [Image.fromarray(draw.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]
    rows = [{"image": image, "answer": str(index)} for index, image in enumerate(images)]
    write_split(tmp_path / "data", "test", rows, {"image": ImageFeature(), "answer": Value("string")})

    def answers(batch: int) -> list[list[str]]:
        monkeypatch.setattr(miniature_captions, "BATCH", batch)
        out = tmp_path / str(batch)
        score_captions("tiny", tiny_model_folder, tmp_path / "data", out, lambda done, of: None)
        logs = [out / "tiny" / f"captions{end}.jsonl" for end in ("", ".shuffled")]
        return [[json.loads(line)["answer"] for line in log.read_text("utf-8").splitlines()] for log in logs]

    right, shuffled = answers(60)
    assert [right, shuffled] == answers(1)
    assert right != shuffled and len(set(right)) > 1
