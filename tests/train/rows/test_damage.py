"""Images that turn out to be damaged while a stage trains: recorded, left out after a restart, limited."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch

from ndino.train.dataset import ConversationDataset
from ndino.train.rows.damage import DAMAGED, RecordDamage
from ndino.train.rows.run_index import stage_index
from ndino.train.stage import StageError, write_rejects
from tests.train.conftest import ROWS

ARGS = SimpleNamespace(device=torch.device("cpu"))


@pytest.fixture
def damaged(stage, tmp_path):
    """A stage whose third image is cut off behind its header, and a tenth of whose rows may be rejected."""
    images = tmp_path / "images"
    shutil.copytree(stage.image_folder, images)
    content = (images / "2.png").read_bytes()
    (images / "2.png").write_bytes(content[: len(content) // 2])
    stage.out.mkdir()
    recipe = dataclasses.replace(stage.recipe, max_rejected=0.1)
    return dataclasses.replace(stage, image_folder=images, recipe=recipe)


def watch(stage, processor) -> tuple[ConversationDataset, RecordDamage]:
    index = stage_index(stage, processor)
    write_rejects(index.lines(stage.data), len(index), stage)
    dataset = ConversationDataset(index, stage.image_folder, processor)
    return dataset, RecordDamage(dataset, stage)


def test_a_damaged_row_is_recorded_once_and_left_out_after_a_restart(damaged, built):
    dataset, record = watch(damaged, built[1])
    dataset[0]
    record.on_step_end(ARGS, None, None)
    assert not (damaged.out / DAMAGED).exists()
    for _ in range(2):
        dataset[2]
        record.on_step_end(ARGS, None, None)
    (row, reason) = next(iter(json.loads((damaged.out / DAMAGED).read_text()).items()))
    assert row == "3" and "image 2.png cannot be read: " in reason
    rejects = (damaged.out / "rejects.txt").read_text()
    assert rejects == f"{damaged.data} row 3: {reason}\n"
    again, record = watch(damaged, built[1])
    assert again.damaged.nonzero().flatten().tolist() == [2] and len(record.reasons) == 1
    assert (damaged.out / "rejects.txt").read_text() == rejects
    assert torch.equal(again[2]["input_ids"], again[3]["input_ids"])
    record.on_step_end(ARGS, None, None)


def test_more_damaged_rows_than_the_recipe_allows_end_the_run(damaged, built):
    dataset, record = watch(damaged, built[1])
    (damaged.image_folder / "5.png").unlink()
    dataset[2], dataset[5]
    with pytest.raises(
        StageError, match=rf"2 of {ROWS} rows cannot be used.*; \S+ row \d: image .*png .* \(remedy: "
    ):
        record.on_step_end(ARGS, None, None)
    assert "image 5.png is not in" in (damaged.out / "rejects.txt").read_text()


def test_a_restart_is_refused_while_too_many_rows_are_damaged_and_takes_repaired_ones(damaged, built, capsys):
    dataset, record = watch(damaged, built[1])
    kept = (damaged.image_folder / "5.png").read_bytes()
    (damaged.image_folder / "5.png").unlink()
    _ = dataset[2], dataset[5]
    with pytest.raises(StageError):
        record.on_step_end(ARGS, None, None)
    for _ in range(2):
        with pytest.raises(StageError, match=f"2 of {ROWS} rows cannot be used"):
            watch(damaged, built[1])
        assert "2 row(s) were damaged, 0 can be read now" in capsys.readouterr().out
    (damaged.image_folder / "5.png").write_bytes(kept)
    again, record = watch(damaged, built[1])
    assert list(record.reasons) == [3] and again.damaged.nonzero().flatten().tolist() == [2]
    assert "2 row(s) were damaged, 1 can be read now" in capsys.readouterr().out
    assert json.loads((damaged.out / DAMAGED).read_text()).keys() == {"3"}
    watch(damaged, built[1])
    assert not capsys.readouterr().out.count("can be read now"), "below the limit nothing is read again"


@pytest.mark.parametrize("content", ["", "[]", '{"x": "y"}'])
def test_a_broken_record_is_set_aside_with_a_line(damaged, built, content, capsys):
    (damaged.out / DAMAGED).write_text(content)
    _, record = watch(damaged, built[1])
    assert record.reasons == {} and not (damaged.out / DAMAGED).exists()
    said = rf"{DAMAGED}: broken, renamed to broken-{DAMAGED}: (Expecting value|its content is not what was w)"
    assert re.search(said, capsys.readouterr().out)
    assert not (damaged.out / "rejects.txt").exists()
