"""The order of rows: the upstream engine's sampler against the loader that the native engine trains from."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest

from ndino.train.engine import fit_to_rows, training_arguments
from ndino.train.rows.order import EpochSampler
from ndino.train.trainer import NativeTrainer

SEED = 7


@pytest.mark.parametrize("rows", [4, 22, 24])
def test_both_engines_take_the_rows_in_the_same_order(built, recipe, rows, tmp_path):
    recipe = dataclasses.replace(recipe, per_device_batch=2, effective_batch=4, seed=SEED)
    arguments = training_arguments(recipe, tmp_path, quiet=True)
    fit_to_rows(arguments, recipe, np.ones(rows, dtype=np.int32))
    native = NativeTrainer(
        recipe=recipe, model=built[0], args=arguments, train_dataset=range(rows), data_collator=list
    )
    loader = cast("Any", native.get_train_dataloader())
    sampler = EpochSampler(rows, 4, seed=SEED)
    orders = []
    for epoch in range(3):
        loader.set_epoch(epoch)
        orders.append([row for batch in loader for row in batch])
        assert list(sampler) == orders[-1]
        steps = range(epoch * sampler.steps, (epoch + 1) * sampler.steps)
        assert [row for step in steps for row in sampler.step_rows(step)] == orders[-1]
    assert {len(order) for order in orders} == {len(sampler)} == {rows // 4 * 4}
    assert rows < 5 or len(set(map(tuple, orders))) == 3
    resumed = EpochSampler(rows, 4, seed=SEED)
    resumed.epoch = 2
    assert list(resumed) == orders[2]
