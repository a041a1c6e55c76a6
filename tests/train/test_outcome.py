"""A stage that makes its model worse: a ruined result is not published, of any other a line says so."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest

from ndino.formats.llava_json import write_conversations
from ndino.train.checkpoints import newest_complete_checkpoint
from ndino.train.engine import run_stage
from ndino.train.health.divergence import Diverged, events
from ndino.train.health.outcome import Course
from ndino.train.stage import Stage

VOCABULARY = 832  # of the miniature whose losses these are: a uniform guess has 6.72
RUINED, WORSE, WELL = "ruined", "worse", "well"
UNLEARNED = [11.21, 11.19]  # a model of captions on its first rows of questions: a change of style


@pytest.mark.parametrize(
    ("losses", "last", "verdict"),
    [
        ([9.4, 121.0, 453.0, 190.0], 190.0, RUINED),
        ([*UNLEARNED, 8.8, 6.97], 6.5, WELL),
        ([*UNLEARNED, 9.01, 6.99, 5.85, 5.61], 5.41, WELL),
        ([*UNLEARNED, 10.85, 10.17], 9.77, WORSE),  # than a uniform guess, though it learns
        ([*UNLEARNED, 38.03, 436.29], 162.4, RUINED),
        ([*UNLEARNED, 38.03, 40.83, 37.08, 18.21], 14.75, RUINED),
        ([6.86, 6.9, 5.52, 4.9], 4.7, WELL),
        ([6.86, 6.9, 7.59, 19.79], 15.19, RUINED),
        ([6.86, 6.9, 7.59, 19.79, 25.0, 38.0, 40.0, 12.0, 5.0, 3.5], 3.2, WORSE),
        ([6.86, 6.9, 7.59, 40.0, 6.5, 41.0, 38.0, 5.0], 3.2, WELL),  # hard batches, never three in a row
        # Learned before: far below a uniform guess, where a blow-up may end at the frequencies of words.
        ([0.73, 0.72, 0.67, 0.65], 0.67, WELL),
        ([0.73, 0.72, 3.77, 3.71], 3.78, RUINED),
        ([0.73, 0.72, 3.54, 1.73], 1.55, WORSE),
        ([0.73, 0.72, 3.54, 1.73, 0.87], 0.77, WORSE),
        ([], 5.0, WELL),  # resumed from a checkpoint without a log
    ],
)
def test_the_last_weights_are_judged_by_the_first_loss_and_a_uniform_guess(losses, last, verdict):
    history = [{"step": number, "loss": loss} for number, loss in enumerate(losses, 1)]
    course = Course.of([*history, {"step": len(losses), "train_loss": 3.0}], VOCABULARY)
    assert (last > course.ruined_above) == (verdict == RUINED)
    assert (course.warning(last) is not None) == (verdict != WELL)
    assert verdict != RUINED or last > course.well_up_to, "so that three micro-batches are looked at"


def test_a_blow_up_is_put_down_to_the_step_from_which_no_loss_was_good():
    def since(*losses: float) -> int | None:
        return Course(list(enumerate(losses, 1)), math.log(VOCABULARY)).ruined_since

    assert since(6.9, 80.0, 7.0, 90.0, 120.0) == 4
    assert since(6.9, 7.0) is since() is None


def quiet(*_) -> None: ...


def with_recipe(stage: Stage, steps: int, rate: float, **fields) -> Stage:
    recipe = dataclasses.replace(stage.recipe, learning_rate=rate, vision_learning_rate=None, max_steps=steps)
    return dataclasses.replace(stage, recipe=dataclasses.replace(recipe, **fields))


@pytest.mark.parametrize(("steps", "rate"), [(4, 1.0), (4, 10.0), (9, 1.0)])
def test_a_short_run_that_blows_up_with_finite_losses_is_not_published(stage, steps, rate):
    with pytest.raises(Diverged) as caught:
        run_stage(with_recipe(stage, steps, rate, on_divergence="skip"), on_step=quiet)
    said = str(caught.value)
    assert re.search(r"diverged at step 3: the loss is [0-9.]+ after the last step, 6\.43\d in the", said)
    assert f"learning_rate {rate:g} is most likely too high" in said and "row(s)" not in said
    assert "(remedy: train again with a lower learning_rate" in said and "skipped" not in said
    assert not (stage.out / "model").exists() and not (stage.out / "manifest.json").exists()
    (event,) = events(stage.out)
    assert event.step == 3 and not event.skipped and newest_complete_checkpoint(stage.out) is None


@pytest.fixture(scope="module")
def learned(backbones, rows, recipe, tmp_path_factory) -> Path:
    """A model that has learned `rows`."""
    out = tmp_path_factory.mktemp("learned") / "run"
    start = {"language_model": backbones.language_model, "vision_tower": backbones.vision_tower}
    stage = Stage(recipe, rows / "rows.jsonl", rows / "images", out, **start)
    return run_stage(with_recipe(stage, 12, 0.03, save_steps=100), on_step=quiet)


def test_a_stage_that_makes_its_model_worse_is_published_with_a_warning(stage, learned, capsys):
    stage = dataclasses.replace(stage, model=learned, language_model=None, vision_tower=None)
    run_stage(with_recipe(stage, 4, 10.0, trainable="projector"), on_step=quiet)
    (warning,) = json.loads((stage.out / "manifest.json").read_text())["warnings"]
    assert re.match(r"the loss is \d\.\d+ after the last step and was [01]\.\d+ in the first", warning)
    assert f"warning: {stage.out}: {warning}\n" in capsys.readouterr().out


def test_a_normal_stage_and_a_change_of_style_are_published_without_a_word(stage, learned, rows, tmp_path):
    answer = {"from": "gpt", "value": "No."}
    records = [json.loads(line) for line in (rows / "rows.jsonl").read_text().splitlines()]
    short = [{**each, "conversations": [each["conversations"][0], answer]} for each in records]
    write_conversations(tmp_path / "short.jsonl", short)
    stage = dataclasses.replace(stage, model=learned, language_model=None, vision_tower=None)
    style = dataclasses.replace(stage, data=tmp_path / "short.jsonl", out=tmp_path / "style")
    for run in (with_recipe(stage, 6, 1.0e-3), with_recipe(style, 6, 4.0e-3)):
        run_stage(run, on_step=quiet)
        manifest = json.loads((run.out / "manifest.json").read_text())
        assert manifest["warnings"] == []
