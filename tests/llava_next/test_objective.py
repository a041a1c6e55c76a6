"""Both engines minimise the same function when batches accumulate, on any number of ranks."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ndino.formats.llava_json import write_conversations
from ndino.llava_next.engine import prepare_stage
from ndino.train.build import load_model
from ndino.train.rows.building import make_index
from ndino.train.stage import Stage
from tests.train.conftest import ROOT

pytestmark = pytest.mark.upstream

BATCH, ROWS = 2, 8
LIMIT = 128  # tokens; the longest answers are cut
LAYERS = {"linear_1": "0", "linear_2": "2"}  # of the projector, by ours and by upstream's name
AVERAGES = ("micro_batch", "token")
RANKS = (1, 2, 4)
Runs = dict[tuple[str, int], Path]  # run folders by average and number of ranks


@pytest.fixture(scope="module")
def stages(first_run, first_recipe, rows, tmp_path_factory) -> dict[str, Stage]:
    """A step of four micro-batches, with answers of a word and of a paragraph, which the averages weigh."""
    records = [json.loads(line) for line in (rows / "rows.jsonl").read_text().splitlines()][:ROWS]
    for number, record in enumerate(records):
        record["conversations"][1]["value"] = "un cerchio rosso e " * (0, 12, 60)[number % 3] + "blu."
    folder = tmp_path_factory.mktemp("objective")
    write_conversations(folder / "rows.json", records)
    recipe = dataclasses.replace(
        first_recipe,
        prompt="llama3",
        effective_batch=ROWS,
        per_device_batch=BATCH,
        max_length=LIMIT,
        max_steps=1,
        warmup_ratio=0.0,  # the only step trains
    )
    return {
        average: Stage(
            dataclasses.replace(recipe, loss_average=average),
            data=folder / "rows.json",
            image_folder=rows / "images",
            out=folder / average,
            model=first_run / "upstream",
        )
        for average in AVERAGES
    }


@pytest.fixture(scope="module")
def native(stages, first_run, tmp_path_factory) -> Runs:
    folder = tmp_path_factory.mktemp("native")
    runs = {(average, ranks): folder / f"{average}-{ranks}" for average in AVERAGES for ranks in RANKS}
    asked = [
        {"out": str(out), "ranks": ranks, "recipe": dataclasses.asdict(stages[average].recipe)}
        for (average, ranks), out in runs.items()
    ]
    stage = stages["token"]
    _, processor = load_model(first_run / "model", stage.recipe)
    index = make_index(stage.data, stage.image_folder, processor, stage.recipe, beside=folder)
    command = [sys.executable, "-m", "tests.train.one_step", first_run / "model", index]
    command += [stage.image_folder, json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return runs


@pytest.fixture(scope="module")
def upstream(stages, first_run, inside, tmp_path_factory) -> Runs:
    folder = tmp_path_factory.mktemp("upstream")
    runs = {(average, ranks): folder / f"{average}-{ranks}" for average in AVERAGES for ranks in RANKS}
    for stage in stages.values():
        prepare_stage(stage, cpu=True)
    for (average, _), out in runs.items():
        out.mkdir()
        for name in "run.json", "rows.json":
            shutil.copy(stages[average].out / name, out)
    inside(
        "objective",
        checkpoint=first_run / "upstream",
        images=stages["token"].image_folder,
        limit=LIMIT,
        batch=BATCH,
        cases=[{"out": out, "ranks": ranks} for (_, ranks), out in runs.items()],
    )
    return runs


def projector(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "projector.safetensors")


def loss(run: Path) -> float:
    return json.loads((run / "loss.json").read_text())


@pytest.mark.parametrize("average", AVERAGES)
def test_an_accumulated_step_is_the_same_in_both_engines_on_any_ranks(average, native, upstream):
    alone = projector(native[average, 1])
    for ranks in RANKS:
        ours, theirs = projector(native[average, ranks]), projector(upstream[average, ranks])
        for run in native[average, ranks], upstream[average, ranks]:
            assert loss(run) == pytest.approx(loss(native[average, 1]), abs=2e-4)  # logged with four decimals
        for name, value in alone.items():
            layer, part = name.split(".")
            for found in ours[name], theirs[f"{LAYERS[layer]}.{part}"]:
                assert torch.allclose(found, value, rtol=0, atol=1e-5), (ranks, name)


def test_the_two_averages_are_not_the_same(native):
    one, other = (projector(native[average, 1]) for average in AVERAGES)
    assert max(float((one[name] - other[name]).abs().max()) for name in one) > 1e-3
