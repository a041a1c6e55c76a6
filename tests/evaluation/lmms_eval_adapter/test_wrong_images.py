"""The shuffled-image control on a task of lmms-eval's own."""

from __future__ import annotations

import pytest

from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.errors import SetupError
from ndino.evaluation.lmms_eval_adapter.wrong_images import exchange_task_images
from tests.evaluation.answerer import Answerer, name_of
from tests.evaluation.benchmarks import draw_image
from tests.evaluation.english_pope import write_pope


def test_a_task_of_lmms_evals_own_shows_wrong_images(tmp_path, monkeypatch):
    # The last two are as the first two.
    data = write_pope(tmp_path / "data", [draw_image(colour) for colour in (0, 1, 2, 3, 0, 1)])
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
