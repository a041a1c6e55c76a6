"""Rows beyond the model's context are refused by both engines and by the checks of a job."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from ndino.cluster.checks import Allocation, check, check_before_parent
from ndino.llava_next import engine as upstream
from ndino.train.engine import run_stage
from ndino.train.rows import context
from ndino.train.rows.building import make_index
from ndino.train.rows.index import META, open_index
from ndino.train.rows.run_index import RECORD
from ndino.train.stage import Stage, StageError


def with_positions(stage: Stage, folder: Path, positions: int, **settings) -> Stage:
    """The stage from a language model with so many positions, which is written to ``folder``."""
    assert stage.language_model is not None
    folder.mkdir()
    for path in stage.language_model.iterdir():
        if path.name != "config.json":
            (folder / path.name).symlink_to(path)
    config = json.loads((stage.language_model / "config.json").read_text())
    config |= {"max_position_embeddings": positions, **settings}
    (folder / "config.json").write_text(json.dumps(config))
    return dataclasses.replace(stage, language_model=folder)


def lengths(stage: Stage) -> list[int]:
    return open_index(Path(json.loads((stage.out / RECORD).read_text())["folder"])).lengths.tolist()


def findings(stage: Stage) -> tuple[list[str], list[str]]:
    """What the checks of a job say of the context: problems, facts."""
    found = check(stage, Allocation(1, 1, "cpu"), engine="native")
    before = check_before_parent(stage, Allocation(1, 1, "cpu"), engine="native")
    for ours, theirs in ((found.problems, before.problems), (found.facts, before.facts)):
        assert [line for line in ours if "context" in line] == [line for line in theirs if "context" in line]
    problems = [line for line in found.problems if "context" in line]
    return problems, [line for line in found.facts if "context" in line]


def test_rows_longer_than_the_context_are_refused(stage, tmp_path, capsys):
    assert stage.recipe.max_length == 512 and findings(stage) == ([], []), "the backbones have 512"
    short = with_positions(stage, tmp_path / "short", 80)
    data = tmp_path / "rows.jsonl"
    data.write_text(stage.data.read_text())  # without an index
    short = dataclasses.replace(short, data=data)
    limit = "recipe it: max_length: 512 is above the model's context of 80 tokens"
    assert findings(short) == ([], [f"{limit}: longer rows will be refused when they are indexed"])
    with pytest.raises(StageError) as caught:
        run_stage(short, on_step=lambda *_: None)
    found, said = lengths(short), str(caught.value)
    longer, longest = sum(length > 80 for length in found), max(found)
    assert longer > 0 and f"{longer} of 12 rows are longer than the model's context of 80 tokens" in said
    assert f"the longest is row {found.index(longest) + 1} with {longest} (remedy: set max_length: 80" in said
    assert not (short.out / "run.json").exists()
    # With the index of that start the checks know it before a job does.
    assert findings(short) == ([said], [])
    with pytest.raises(StageError, match="rows are longer than the model's context of 80 tokens"):
        upstream.prepare_stage(dataclasses.replace(short, out=tmp_path / "upstream"), cpu=True)
    # The remedy, scaled positions, and positions that are enough for the rows.
    cut = dataclasses.replace(short, recipe=dataclasses.replace(short.recipe, max_length=80))
    rope = {"rope_type": "linear", "factor": 16.0, "rope_theta": 10000.0}
    scaled = with_positions(short, tmp_path / "scaled", 80, rope_parameters=rope)
    enough = with_positions(short, tmp_path / "enough", longest)
    capsys.readouterr()
    for name, fits in (("cut", cut), ("scaled", scaled), ("enough", enough)):
        assert upstream.prepare_stage(dataclasses.replace(fits, out=tmp_path / name), cpu=True) is not None
        note = f"max_length: 512 is above the model's context of {longest} tokens; no row is longer"
        assert (note in capsys.readouterr().out) == (name == "enough")
        assert bool(findings(fits)[1]) == (name == "enough") and not findings(fits)[0]


def test_only_a_sound_index_of_the_same_rows_and_recipe_is_at_hand(stage, built, tmp_path, monkeypatch):
    data = Path(shutil.copy(stage.data, tmp_path / "rows.jsonl"))
    stage = dataclasses.replace(stage, data=data)
    folder = make_index(data, stage.image_folder, built[1], stage.recipe, beside=stage.out)

    def at_hand(stage: Stage = stage) -> list[Path]:
        return [index.folder for index in context.indexes_at_hand(stage)]

    assert at_hand() == [folder]
    for path in (next(folder.glob("*.arrow")), folder / META):
        whole = path.read_bytes()
        path.write_bytes(whole[:-9])
        assert at_hand() == [], path.name
        path.write_bytes(whole)
    # What is of another recipe is not read, however large.
    other = dataclasses.replace(stage, recipe=dataclasses.replace(stage.recipe, max_length=80))
    with monkeypatch.context() as patch:
        patch.setattr(context, "damage_of", lambda folder: pytest.fail(f"{folder} was read"))
        assert at_hand(other) == []
    data.write_bytes(data.read_bytes() + b"\n")
    assert at_hand() == []
