"""The set-up upstream tree, a first stage trained by it, and programs run in its environment."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ndino.formats.recipes import Recipe
from ndino.llava_next.engine import Tree, find_tree, run_stage
from ndino.train.stage import Stage, StageError
from tests.train.conftest import Backbones, backbones, recipe, rows  # noqa: F401

INSIDE = Path(__file__).with_name("inside.py")
Inside = Callable[..., dict]


@pytest.fixture(scope="session")
def tree() -> Tree:
    try:
        return find_tree()
    except StageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def inside(tree) -> Inside:
    """``inside(program, **arguments)`` runs a function of inside.py in upstream's environment."""

    def run(program: str, **arguments) -> dict:
        command = [tree.python, INSIDE, program, json.dumps(arguments, default=str)]
        environment = os.environ | {"PYTHONPATH": str(tree.folder), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def first_recipe(recipe: Recipe) -> Recipe:  # noqa: F811
    """The projector stage at the miniature's size: 6 steps of 4 samples, a checkpoint every 2."""
    return dataclasses.replace(
        recipe, name="mlp", prompt="plain", trainable="projector", vision_learning_rate=None
    )


def first_stage(recipe: Recipe, backbones: Backbones, rows: Path, out: Path) -> Stage:  # noqa: F811
    return Stage(
        recipe=recipe,
        data=rows / "rows.jsonl",
        image_folder=rows / "images",
        out=out,
        language_model=backbones.language_model,
        vision_tower=backbones.vision_tower,
    )


@pytest.fixture(scope="session")
def first_run(tree, first_recipe, backbones, rows, tmp_path_factory) -> Path:  # noqa: F811
    """Run folder of a projector stage that was not interrupted."""
    out = tmp_path_factory.mktemp("family") / "mlp"
    run_stage(first_stage(first_recipe, backbones, rows, out), on_step=lambda *_: None)
    return out
