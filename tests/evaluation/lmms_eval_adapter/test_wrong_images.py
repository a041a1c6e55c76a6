"""The shuffled-image control on a task of lmms-eval's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Image as ImageFeature
from datasets import Value

from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.errors import SetupError
from ndino.evaluation.lmms_eval_adapter.wrong_images import exchange_task_images
from ndino.formats.hub_folders import write_split
from tests.evaluation.answerer import Answerer, name_of
from tests.evaluation.benchmarks import draw_image


def write_pope(folder: Path) -> Path:
    """English POPE on six images, two of which are the same."""
    text = Value("string")
    colours = [0, 1, 2, 3, 0, 1]
    rows = [
        {
            **{"id": str(i), "question_id": str(i), "question": f"Number {i}?", "answer": "yes"},
            **{"image_source": "x", "image": draw_image(colour), "category": "random"},
        }
        for i, colour in enumerate(colours)
    ]
    types = {key: ImageFeature() if key == "image" else text for key in rows[0]}
    write_split(folder / "lmms-lab-encoder" / "POPE", "test", rows, types)
    return folder


def test_a_task_of_lmms_evals_own_shows_wrong_images(tmp_path, monkeypatch):
    data = write_pope(tmp_path / "data")
    monkeypatch.chdir(data)
    benchmarks = Benchmarks(["pope"], data=data, cache=tmp_path / "cache")
    seen = {"": [], "shuffled": []}
    for control in seen:
        model = Answerer(lambda context, shown, c=control: seen[c].append(name_of(shown)) or context)
        outcome = benchmarks.ask(model, "pope", control)
        assert [row["answer"].split("?")[0] for row in outcome.rows] == [f"Number {i}" for i in range(6)]
    assert all(right != wrong for right, wrong in zip(seen[""], seen["shuffled"], strict=True))
    # Questions about one image get the same wrong one.
    assert len({*zip(seen[""], seen["shuffled"], strict=True)}) == 4

    task = benchmarks.task("pope")
    with pytest.raises(SetupError, match="task pope: 1 distinct"):
        exchange_task_images(task, 1)
    monkeypatch.setattr(task.task.config, "doc_to_visual", lambda document: ["clip.mp4"])
    with pytest.raises(SetupError, match="shows something other than images"):
        exchange_task_images(task, 2)
