"""Captions: asked with the plain prompt, kept beside the model's other results, asked anew of other data."""

from __future__ import annotations

import json
from pathlib import Path

from datasets import Image as ImageFeature
from datasets import Value

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
