"""What a check finds out about rows and images."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from ndino.cluster.survey import survey_images


def write_rows(folder: Path, *images: list[str]) -> Path:
    data = folder / "data.jsonl"
    answer = {"from": "gpt", "value": "No."}
    lines = [
        json.dumps(
            {
                "id": number,
                "image": names,
                "conversations": [{"from": "human", "value": "<image>" * len(names)}, answer],
            }
        )
        for number, names in enumerate(images)
    ]
    data.write_text("\n".join([*lines, '{"id": ']) + "\n")
    return data


def test_rows_are_counted_once_whatever_they_lack(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("L", (9, 9)).save(tmp_path / name)
    data = write_rows(tmp_path, ["a.png"], ["x.png", "y.png"], ["a.png", "b.png"], ["b.png", "x.png"])
    survey = survey_images(data, tmp_path, True, 1)
    assert (survey.rows, survey.faulty, survey.without_image, survey.images) == (4, 1, 2, 2)
    assert survey.first_images == ("a.png", "b.png")
    assert survey.first_fault.startswith(f"{data} row 5: broken JSON")
    headers_left_out = survey_images(data, tmp_path, False, 1)
    assert (headers_left_out.without_image, headers_left_out.images) == (0, 4)
