"""Every odd image, through every command that opens images: the same decision, the same pixels."""

from __future__ import annotations

import dataclasses
import json
import runpy
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ndino.common.images import ImageFaultError, image_size
from ndino.data.commands.check import check
from ndino.evaluation.errors import SetupError
from ndino.evaluation.image_check import sizes_of_images
from ndino.evaluation.inference.prompting import image_tensors
from ndino.evaluation.lmms_eval_adapter.surroundings import task_environment
from ndino.evaluation.lmms_eval_adapter.task_index import TaskIndex
from ndino.evaluation.perplexity.answer_sets import read_items
from ndino.evaluation.perplexity.scorer import Scorer
from ndino.formats.questions.table import read_questions
from ndino.formats.recipes import Recipe
from ndino.llava_next.arguments import Inputs, upstream_arguments
from ndino.train.dataset import ConversationDataset
from ndino.train.images import ImageError, open_image, tile_anyres
from ndino.train.rows.building import make_index
from ndino.train.rows.index import open_index
from tests.odd_images import TRANSPARENT, ink, kinds

ROOT = Path(__file__).parents[2]
KINDS = kinds()


@dataclass
class Found:
    """What each command says of each image (None for a good one), and the pixels of those it takes."""

    faults: dict[str, dict[str, str | None]] = field(default_factory=dict)
    pixels: dict[str, dict[str, Any]] = field(default_factory=dict)
    several: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Every kind as a row that is both a conversation to train on and a question to ask."""
    folder = tmp_path_factory.mktemp("odd")
    with (folder / "rows.jsonl").open("w") as file:
        for name, kind in KINDS.items():
            (folder / name).write_bytes(kind.content)
            talk = [{"from": "human", "value": "<image>\nCosa vedi?"}, {"from": "gpt", "value": "Un segno."}]
            row = {"id": name, "image": name, "conversations": talk, "question": "Cosa vedi?"}
            file.write(json.dumps({**row, "gpt_answer": "Un segno."}) + "\n")
    return folder


@pytest.fixture(scope="module")
def found(folder, built, recipe, tmp_path_factory) -> Found:
    data, names, processor = folder / "rows.jsonl", list(KINDS), built[1]
    found = Found(
        {command: dict.fromkeys(names) for command in ("check", "train", "evaluate", "ppl", "upstream")}
    )
    found.pixels = {command: {} for command in found.faults}

    report = check(data, folder)
    found.faults["check"] |= {names[row - 1]: fault for row, fault in report.faults}
    found.several = {names[row - 1] for row, _ in report.notes}

    index = open_index(make_index(data, folder, processor, recipe, beside=tmp_path_factory.mktemp("run")))
    found.faults["train"] |= {names[reject.row - 1]: reject.reason for reject in index.rejects}
    dataset = ConversationDataset(index, folder, processor)
    for row in (index[place] for place in range(len(index))):
        try:
            (found.pixels["train"][row.images[0]],) = dataset.tiles_of(row)
        except ImageError as error:
            found.faults["train"][row.images[0]] = str(error)

    tasks, questions = TaskIndex(["llava-bench-it"]), read_questions(data)
    for number, name in enumerate(names):
        with task_environment(shuffled=False, cache=None):
            try:
                task = tasks.load(
                    "llava-bench-it", task_type="simple", rows=questions.select([number]), remedy="-"
                )
                assert sizes_of_images(task, 1, local=True) == [image_size(KINDS[name].content)]
                (found.pixels["evaluate"][name],) = task.images(0)
            except SetupError as error:
                found.faults["evaluate"][name] = str(error)

    scorer = Scorer(*built)
    for name, item in zip(names, read_items(str(data)), strict=True):
        found.faults["ppl"][name] = item.fault
        if item.fault is None:
            found.pixels["ppl"][name] = scorer._image(item)

    # As upstream's data loader opens them; it is not needed for that.
    overlay = runpy.run_path(str(ROOT / "overlay" / "llava" / "ndino" / "images.py"))
    for name in names:
        try:
            found.pixels["upstream"][name] = overlay["ImageModule"]((255, 255, 255)).open(str(folder / name))
        except ImageFaultError as error:
            found.faults["upstream"][name] = error.reason
    return found


def test_there_are_kinds_enough():
    assert len(KINDS) >= 25 and sum(kind.pixels is None for kind in KINDS.values()) >= 10


@pytest.mark.parametrize("name", KINDS)
def test_every_command_decides_alike_and_sees_the_same_pixels(found, folder, built, name):
    kind = KINDS[name]
    faults = {command: said[name] for command, said in found.faults.items()}
    if kind.pixels is None:
        assert all(fault and kind.fault in fault for fault in faults.values()), faults
        said = {str(fault).partition("cannot be read: ")[2] for fault in faults.values()}
        reasons = {text.partition(" (remedy")[0].partition(f": {folder}")[0] for text in said}
        assert len(reasons) == 1, "in the same words"
        assert f"{folder / 'rows.jsonl'} row {list(KINDS).index(name) + 1}" in str(faults["ppl"])
        assert "0x" not in str(faults), "no address in memory"
        return
    assert not any(faults.values()), faults
    shown = open_image(name, folder)
    assert np.asarray(shown).shape == kind.pixels.shape
    assert np.abs(np.asarray(shown).astype(int) - kind.pixels).mean() <= kind.far
    processor = built[1]
    trained, tensors = found.pixels["train"][name], found.pixels["ppl"][name]
    assert torch.equal(trained.pixels, tile_anyres(shown, processor).pixels)
    assert trained.size == (shown.height, shown.width) == tuple(tensors["image_sizes"][0].tolist())
    assert found.pixels["evaluate"][name].tobytes() == shown.tobytes()
    assert found.pixels["upstream"][name].tobytes() == shown.tobytes()
    assert torch.equal(
        tensors["pixel_values"], image_tensors(processor.image_processor, shown)["pixel_values"]
    )
    # And the model is shown the same tiles when it is asked as when it was trained.
    assert torch.equal(tensors["pixel_values"][0], trained.pixels)
    assert (name in found.several) is kind.several


def test_the_recipe_s_background_shows_through_in_both_engines(folder, built, recipe, tmp_path):
    green = dataclasses.replace(recipe, background=(0, 200, 0))
    index = open_index(make_index(folder / "rows.jsonl", folder, built[1], green, beside=tmp_path / "run"))
    dataset = ConversationDataset(index, folder, built[1], green.background)
    (place,) = (place for place in range(len(index)) if index[place].images == ("ink_palette.png",))
    clear = np.asarray(ink(TRANSPARENT))
    wanted = Image.fromarray(np.where(clear[..., 3:], clear[..., :3], (0, 200, 0)).astype(np.uint8))
    (tiles,) = dataset.tiles_of(index[place])
    assert torch.equal(tiles.pixels, tile_anyres(wanted, built[1]).pixels)
    given = arguments_of(green, tmp_path)["--background"]
    overlay = runpy.run_path(str(ROOT / "overlay" / "llava" / "ndino" / "images.py"))
    opened = overlay["image_module"](SimpleNamespace(background=given)).open(str(folder / "ink_palette.png"))
    assert opened.tobytes() == wanted.tobytes()


def arguments_of(recipe: Recipe, folder: Path) -> dict[str, str]:
    inputs = Inputs("start/llama", folder, folder / "rows.json", folder, folder)
    given = upstream_arguments(recipe, inputs, rows=8, cpu=True)
    return dict(zip(given[::2], given[1::2], strict=True))
