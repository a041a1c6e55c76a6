"""Baselines: from a family's file to the jobs that score them, and what is refused before submission."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from ndino.cluster import preflight, staging
from ndino.cluster.checks import Allocation
from ndino.cluster.family import FamilyPaths, SlurmJob, plan
from ndino.formats.family import Family, load_family
from ndino.formats.recipes import RecipeError

RECIPES = Path(__file__).parents[2] / "launch" / "recipes"
TOWER_VISION = {"model": "utter-project/TowerVision-2B", "lmms": "llava_next_it"}
QWEN = {"model": "Qwen/Qwen3-VL-2B-Instruct", "lmms": "qwen3_vl"}


def family_with(folder: Path, baselines: object) -> Family:
    path = folder / "family.yaml"
    path.write_text(yaml.safe_dump({"models": {"IT": ["mlp", "it"]}, "baselines": baselines}))
    for name in ("mlp", "it"):
        (folder / f"{name}.yaml").touch()
    return load_family(path)


def paths_of(folder: Path) -> FamilyPaths:
    return FamilyPaths(RECIPES, folder / "runs", "native", folder, folder, folder / "models")


def scored(family: Family, paths: FamilyPaths) -> list[SlurmJob]:
    return [job for job in plan(family, paths) if not job.trains and not job.parents]


def test_each_is_scored_by_its_wrapper_from_where_it_is(tmp_path):
    here = tmp_path / "my" / "llava"
    (tmp_path / "models" / "TowerVision-2B").mkdir(parents=True)
    here.mkdir(parents=True)
    family = family_with(
        tmp_path, {"Tower": TOWER_VISION, "Qwen3-VL": QWEN, "mine": {"model": str(here), "lmms": "llava_hf"}}
    )
    jobs = {job.name: job.arguments for job in scored(family, paths_of(tmp_path))}
    assert jobs == {
        "tasks-Tower": ("tasks", f"Tower={tmp_path}/models/TowerVision-2B", "--backend", "hf"),
        "tasks-Qwen3-VL": ("tasks", f"Qwen3-VL={QWEN['model']}", "--backend", "lmms:qwen3_vl"),
        "tasks-mine": ("tasks", f"mine={here}", "--backend", "lmms:llava_hf"),
    }
    report = plan(family, paths_of(tmp_path))[-1]
    assert report.name == "report" and set(jobs) <= set(report.parents)


def test_those_on_the_hub_are_staged_once_each(tmp_path):
    here = tmp_path / "llava"
    here.mkdir()
    asked = {"a": TOWER_VISION, "b": {**TOWER_VISION, "lmms": "llava_hf"}, "c": QWEN}
    family = family_with(tmp_path, {**asked, "d": {"model": str(here), "lmms": "llava_hf"}})
    items = staging.wanted(tmp_path / "models", tmp_path, baselines=family.baselines.values(), codes=("es",))
    found = [(item.source, item.folder.name) for item in items if item.folder.parent == tmp_path / "models"]
    assert found[2:] == [
        ("utter-project/TowerVision-2B", "TowerVision-2B"),
        ("Qwen/Qwen3-VL-2B-Instruct", "Qwen3-VL-2B-Instruct"),
    ]


def test_a_known_one_needs_no_more_than_its_name(tmp_path):
    (job,) = scored(family_with(tmp_path, ["mblip"]), paths_of(tmp_path))
    assert job.arguments == ("tasks", "mblip=Gregor/mblip-mt0-xl", "--backend", "lmms:mblip")


@pytest.mark.parametrize(
    ("baselines", "message"),
    [
        (["mblipp"], "mblipp is not among those known by name, mblip (remedy: NAME: {model: "),
        ({"a": {"model": "b/c"}}, "baselines.a.lmms: missing (remedy: add it)"),
        ({"a": QWEN | {"lms": "x"}}, "baselines.a.lms: unknown field"),
        ({"Qwen/Qwen3": QWEN}, "Qwen/Qwen3 is no name for a folder of results (remedy: letters,"),
        ({"IT": QWEN}, "IT is also a model (remedy: rename the baseline)"),
        ({"a": QWEN, "b": QWEN | {"model": "b/Qwen3-VL-2B-Instruct"}}, "are both downloaded to Qwen3-VL-2B-"),
    ],
)
def test_a_wrong_one_is_refused(tmp_path, baselines, message):
    with pytest.raises(RecipeError) as refused:
        family_with(tmp_path, baselines)
    assert message in str(refused.value)


def test_what_would_fail_in_its_job_is_told_before(tmp_path, benchmark_folder, tiny_model_folder):
    whole = shutil.copytree(tiny_model_folder, tmp_path / "whole")
    alone = shutil.copytree(tiny_model_folder, tmp_path / "alone")
    (alone / "model.safetensors").unlink()
    asked = {
        "whole": {"model": str(whole), "lmms": "llava_next_it"},
        "alone": {"model": str(alone), "lmms": "llava_next_it"},
        "away": QWEN,
        "unknown": {"model": str(whole), "lmms": "llava_nxt"},
    }
    family, paths = family_with(tmp_path, asked), paths_of(tmp_path)
    names = [job.name for job in scored(family, paths)]
    questions = preflight.EvaluationData(("pope-it",), (), benchmark_folder)
    found = preflight.problems(
        plan(family, paths), names, paths, Allocation(1, 1, "cpu", "ddp", ""), questions
    )
    no_weights, away, unknown = found
    assert no_weights.startswith(f"alone: {alone}: has no weights")
    assert away.startswith("away: Qwen/Qwen3-VL-2B-Instruct is not in ") and "make stage-weights" in away
    assert unknown.startswith("unknown: backend lmms:llava_nxt: lmms-eval has no such model (remedy: ")
