"""The steps that rows make: none is smaller than another, and at least one has a learning rate above 0."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_scheduler

from ndino.formats.recipes import load_recipe
from ndino.train.engine import run_stage, training_arguments
from ndino.train.rows.steps import few_steps, no_step, smaller, steps_of_stage, warmup_steps
from ndino.train.stage import StageError
from tests.properties import examples
from tests.train.conftest import ROOT

IT = load_recipe(ROOT / "launch" / "recipes" / "it.yaml")
DATA = Path("ten.json")
quiet = lambda *_: None  # noqa: E731


@pytest.mark.parametrize(("epochs", "most"), [(20.0, 8), (1.0, 6)])
@pytest.mark.parametrize("count", [9, 10, 12])
def test_too_many_held_out_rows_are_named_with_the_most_that_work(epochs, most, count):
    small = dataclasses.replace(IT, effective_batch=2, per_device_batch=2, epochs=epochs)
    told = no_step(dataclasses.replace(small, eval_rows=count), 10 - count, DATA, ranks=1)
    assert told is not None
    assert f"eval_rows: {count} of 10 usable rows are not trained on, and {max(0, 10 - count)} usable" in told
    assert f"(remedy: set eval_rows: {most} or less in recipe it; " in told
    least = dataclasses.replace(small, eval_rows=most)
    assert no_step(least, 10 - most, DATA, ranks=1) is None
    assert no_step(dataclasses.replace(least, eval_rows=most + 1), 9 - most, DATA, ranks=1) is not None
    one = no_step(dataclasses.replace(small, eval_rows=1), 0, DATA, ranks=1)
    assert one is not None and "1 usable row(s) do not fill a step of 2" in one


@pytest.mark.parametrize("ratio", [0.0, 0.03, 0.5, 0.99])
def test_a_stage_is_refused_exactly_if_no_step_has_a_learning_rate(ratio, tmp_path):
    for steps in range(1, 40):
        recipe = dataclasses.replace(IT, epochs=None, max_steps=steps, warmup_ratio=ratio)
        warmup = training_arguments(recipe, tmp_path, quiet=True).get_warmup_steps(steps)
        assert warmup == warmup_steps(recipe, steps)
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=1.0)
        scheduler = get_scheduler("cosine", optimizer, num_warmup_steps=warmup, num_training_steps=steps)
        rates = []
        for _ in range(steps):
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        assert (no_step(recipe, 1000, DATA, ranks=1) is None) == any(rate > 0 for rate in rates)


def test_the_numbers_are_told():
    few = no_step(IT, 10, DATA, ranks=2)
    assert few is not None
    assert few.startswith(
        "ten.json: 10 usable row(s) do not fill a step of 128 (effective_batch in recipe it)"
    )
    assert "set effective_batch: 2, per_device_batch: 1 and epochs: 4.0 in" in few
    one = no_step(IT, 200, DATA, ranks=1)
    assert (
        one is not None
        and "200 usable rows in steps of 128 and epochs: 1.0 make 1 step, which is warm" in one
    )
    assert "a learning rate of 0 (warmup_ratio: 0.03), so nothing would be trained (remedy: set " in one
    assert no_step(dataclasses.replace(IT, warmup_ratio=0.0), 200, DATA, ranks=1) is None
    two = few_steps(IT, 300, DATA, ranks=1)
    assert two is not None and "make 2 steps, 1 of them warm-up: little will be learned" in two
    assert few_steps(IT, 128 * 5, DATA, ranks=1) is few_steps(IT, 500_000, DATA, ranks=1) is None


@given(
    rows=st.integers(1, 3000),
    ranks=st.integers(1, 9),
    batch=st.integers(1, 40),
    epochs=st.sampled_from([0.5, 1.0, 3.0, None]),
)
@examples(300)
def test_what_the_remedy_says_is_accepted_without_a_warning(rows, ranks, batch, epochs):
    recipe = dataclasses.replace(
        IT,
        per_device_batch=batch,
        effective_batch=batch * ranks * 8,
        epochs=epochs,
        max_steps=None if epochs else 1,
    )
    said = smaller(recipe, rows, ranks)
    if rows < ranks:
        assert f"at most {rows} rank(s)" in said
        return
    fields = yaml.safe_load("\n".join(re.split(r", | and ", said))) or {}
    mended = dataclasses.replace(recipe, **fields)
    mended.accumulation(ranks)
    assert no_step(mended, rows, DATA, ranks=ranks) is None
    assert steps_of_stage(mended, rows) >= 20 and few_steps(mended, rows, DATA, ranks=ranks) is None


# A process of its own: ranks are forked, and must not be forked from one that has trained.
RANKS = """
import sys
from ndino.cli import main
from tests.ranks import fork_ranks
import ndino.train.engine

for ranks in (1, 2):
    words = ["train", *sys.argv[1:], "--out", f"{sys.argv[1]}.{ranks}"]
    fork_ranks(ranks, lambda: sys.exit(main(words) != 1))
"""


def test_rows_that_do_not_fill_a_step_are_refused_on_any_number_of_ranks(stage, tmp_path):
    recipe = dataclasses.replace(stage.recipe, effective_batch=16, per_device_batch=2)
    fields = json.loads(json.dumps(dataclasses.asdict(recipe)))
    del fields["name"]
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(fields))
    files = ["--data", stage.data, "--images", stage.image_folder]
    start = ["--language-model", stage.language_model, "--vision-tower", stage.vision_tower]
    words = [sys.executable, "-c", RANKS, tmp_path / "small.yaml", *files, *start]
    done = subprocess.run([str(word) for word in words], cwd=ROOT, capture_output=True, text=True)
    said = re.findall(
        r"(\d+) usable row\(s\) do not fill a step of 16 .*?set effective_batch: (\d)", done.stderr
    )
    assert said == [("12", "3"), ("12", "2"), ("12", "2")], done.stderr
    assert not list(tmp_path.glob("*/model")) and not list(tmp_path.glob("*/checkpoint-*"))


def test_a_stage_that_would_only_warm_up_is_refused(stage):
    recipe = dataclasses.replace(stage.recipe, effective_batch=8, max_steps=None, epochs=1.0)
    with pytest.raises(
        StageError, match=r"12 usable rows in steps of 8 and epochs: 1.0 make 1 step, which is"
    ):
        run_stage(dataclasses.replace(stage, recipe=recipe), on_step=quiet)
    assert not (stage.out / "model").exists()


def test_a_result_equal_to_its_start_is_not_published(stage):
    # Each step is smaller than half of the distance between neighbouring numbers in fp32.
    still = dataclasses.replace(
        stage.recipe, learning_rate=1.0e-30, vision_learning_rate=None, trainable=("language_model",)
    )
    with pytest.raises(
        StageError, match=r"no weight differs from the start after 6 steps in float32, nothing"
    ):
        run_stage(dataclasses.replace(stage, recipe=still), on_step=quiet)
    assert not (stage.out / "model").exists() and not (stage.out / "manifest.json").exists()
