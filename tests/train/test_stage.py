"""A stage before it is trained: its start, whose its folder is, rejects, a full disk."""

from __future__ import annotations

import dataclasses
import errno
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser
from ndino.train import stage as stage_module
from ndino.train.stage import (
    Stage,
    StageError,
    add_stage_arguments,
    report_full_disk,
    require_inputs,
    stage_of,
    write_rejects,
)
from tests.train.conftest import ROOT

Usage = namedtuple("Usage", "total used free")


def test_a_stage_has_exactly_one_start(recipe):
    where = (recipe, Path("rows.jsonl"), Path("images"), Path("out"))
    assert Stage(*where, model=Path("m")).start == {"model": Path("m")}
    fresh = Stage(*where, language_model=Path("l"), vision_tower=Path("v"))
    assert fresh.start == {"language_model": Path("l"), "vision_tower": Path("v")}
    for start in ({}, {"language_model": Path("l")}, {"model": Path("m"), **fresh.start}):
        with pytest.raises(UsageError, match="give either --model or"):
            Stage(*where, **start)


def test_a_backbone_given_by_its_hub_id_has_to_be_downloaded(stage):
    asked = dataclasses.replace(stage, language_model=Path("Qwen/Qwen3-1.7B"))
    with pytest.raises(UsageError) as refused:
        require_inputs(asked)
    assert str(refused.value) == (
        "Qwen/Qwen3-1.7B: no such folder (remedy: hf download Qwen/Qwen3-1.7B "
        "--local-dir models/Qwen3-1.7B, and name the folder of a language model)"
    )


def test_options_override_the_recipe_s_data():
    parser = CommandParser()
    add_stage_arguments(parser)
    recipe = str(ROOT / "launch" / "recipes" / "pt.yaml")
    given = stage_of(parser.parse_args([recipe, "--out", "o", "--model", "m", "--data", "mine.jsonl"]))
    assert given.data == Path("mine.jsonl")
    assert given.image_folder == Path(given.recipe.image_folder)
    assert given.recipe.data == "mine.jsonl", "run.json and the manifest name the data that are used"
    both = [recipe, "--out", "o", "--model", "m", "--data", "mine.jsonl", "--images", "elsewhere"]
    assert stage_of(parser.parse_args(both)).recipe.image_folder == "elsewhere"


def test_rejects_are_written_and_counted(stage, tmp_path, capsys):
    stage = dataclasses.replace(
        stage, out=tmp_path, recipe=dataclasses.replace(stage.recipe, max_rejected=0.4)
    )
    write_rejects(["row 1: bad", "row 7: worse"], 3, stage)
    assert (tmp_path / "rejects.txt").read_text() == "row 1: bad\nrow 7: worse\n"
    assert "2 row(s)" in (printed := capsys.readouterr().out) and "row 1: bad" in printed
    with pytest.raises(
        StageError, match=r"no usable row; .*rejects\.txt lists 1, the first: row 1: bad \(remedy: "
    ):
        write_rejects(["row 1: bad"], 0, stage)


def test_more_rejects_than_the_recipe_allows_stop_the_stage(stage, tmp_path):
    stage = dataclasses.replace(stage, out=tmp_path)
    write_rejects(["row 1: bad"], 99, stage)  # the default allows 1 %
    with pytest.raises(
        StageError, match=r"2 of 100 rows cannot be used, 2\.0%, and max_rejected allows 1\.0%"
    ):
        write_rejects(["row 1: bad", "row 7: worse"], 98, stage)
    assert (tmp_path / "rejects.txt").read_text() == "row 1: bad\nrow 7: worse\n"
    write_rejects([], 100, stage)
    assert not (tmp_path / "rejects.txt").exists(), "of the data before they were repaired"


def test_only_the_first_rank_writes_rejects(stage, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    write_rejects(["row 1: bad"], 300, dataclasses.replace(stage, out=tmp_path))
    assert not (tmp_path / "rejects.txt").exists()


@pytest.mark.parametrize(("free", "raised"), [(0, StageError), (1 << 30, RuntimeError)])
def test_an_error_is_a_full_disk_only_when_the_disk_is_full(tmp_path, monkeypatch, free, raised):
    monkeypatch.setattr(stage_module.shutil, "disk_usage", lambda _: Usage(1 << 40, 0, free))
    with pytest.raises(raised) as caught, report_full_disk(tmp_path):
        raise RuntimeError("enforce fail at inline_container")
    assert caught.type is raised
    if raised is StageError:
        assert f"{tmp_path}: the disk is full" in str(caught.value)


def test_of_several_disks_the_full_one_is_named_and_other_errors_stay(tmp_path, monkeypatch):
    out, data = tmp_path / "run", tmp_path / "data"
    data.mkdir()
    usage = {data: Usage(1 << 40, 0, 0)}
    monkeypatch.setattr(stage_module.shutil, "disk_usage", lambda path: usage.get(path, Usage(1, 0, 1 << 30)))
    full = pytest.raises(StageError, match=r"data: the disk is full .*rerun to resume")
    with full, report_full_disk(out, data):
        raise OSError(errno.ENOSPC, "No space left on device")
    # Data on a medium that is only read have no room in any case.
    with pytest.raises(RuntimeError, match="of another kind"), report_full_disk(out, data):
        raise RuntimeError("of another kind")


def test_importing_it_loads_no_pytorch():
    code = "import sys, ndino.train.stage; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_commonest_remedy_of_the_rejects_is_told(stage, tmp_path):
    stage = dataclasses.replace(stage, out=tmp_path)
    lines = [f"d.json row {row}: long (remedy: raise max_length)" for row in (1, 3)]
    lines.append("d.json row 2: bad (remedy: remove it)")
    with pytest.raises(
        StageError, match=r"\(remedy: raise max_length, for 2 of them; .*\.txt lists all;"
    ) as told:
        write_rejects(lines, 5, stage)
    assert "; d.json row 1: long (remedy: " in str(told.value), "what the remedy is about"
