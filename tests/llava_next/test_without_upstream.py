"""What the upstream engine says where its tree is not set up."""

from __future__ import annotations

import dataclasses

import pytest

from ndino.llava_next import engine
from ndino.train.stage import StageError
from ndino.upstream import UpstreamError
from tests.llava_next.conftest import first_stage


def test_a_missing_tree_is_named_with_its_remedy(monkeypatch):
    def missing():
        raise UpstreamError("not set up (remedy: make setup LLAVA_NEXT_URL=<clone>)")

    monkeypatch.setattr(engine, "llava_next_folder", missing)
    with pytest.raises(StageError, match="make setup LLAVA_NEXT_URL="):
        engine.find_tree()


def test_a_missing_environment_is_named_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "llava_next_folder", lambda: tmp_path)
    monkeypatch.setattr(engine, "ROOT", tmp_path)
    with pytest.raises(StageError, match="no environment for the upstream trainer"):
        engine.find_tree()


@pytest.mark.parametrize(
    ("change", "said", "written"),
    [
        ({"packing": True}, "packing is for the native engine", False),
        ({"max_length": 5}, "no usable row", True),
    ],
)
def test_a_start_that_is_refused_leaves_the_folder_to_the_corrected_one(
    change, said, written, first_recipe, backbones, rows, tmp_path
):
    out = tmp_path / "run"
    stage = first_stage(dataclasses.replace(first_recipe, **change), backbones, rows, out)
    with pytest.raises(StageError, match=said):
        engine.prepare_stage(stage, cpu=True)
    assert out.exists() == written and not (out / "run.json").exists()
    engine.prepare_stage(dataclasses.replace(stage, recipe=first_recipe), cpu=True)
    assert (out / "run.json").exists()
