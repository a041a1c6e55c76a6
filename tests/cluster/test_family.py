"""The whole family on a real SLURM: to the end, with a stage that fails, and gone on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from ndino.cluster.family import submitted
from tests.cluster.conftest import Site
from tests.evaluation.benchmarks import write_benchmarks

pytestmark = pytest.mark.system
STAGES = {"mlp", "mlp-pt", "mlp-it", "mlp-long", "mlp-pt-it", "mlp-pt-long", "mlp-it-long", "mlp-pt-it-long"}


@pytest.fixture
def family(site, tmp_path) -> Site:
    """A site with two questions a benchmark, perplexity on one of them, and no baseline."""
    site.settings |= {
        "BENCHMARKS": str(write_benchmarks(tmp_path / "benchmarks", rows=4)),
        "TASKS": "pope-it",
        "PERPLEXITY_SETS": "llava-bench-it=swap-uniba/WILD_IT",
        "LIMIT": "2",
        "SBATCH_OPTIONS": f"--output={tmp_path}/%x-%j.log --cpus-per-task=1",
    }
    keep(site, baselines=[])
    return site


def keep(site: Site, **fields) -> None:
    path = site.recipes / "family.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields))


def submit(site: Site) -> dict[str, str]:
    """Submit the family; returns the numbers of what was submitted now."""
    before = submitted(site.runs)
    done = site.call("launch/family.sh")
    assert done.returncode == 0, done.stderr
    return {name: number for name, number in submitted(site.runs).items() if before.get(name) != number}


def ended(site: Site, jobs: dict[str, str]) -> dict[str, str]:
    return {name: site.slurm.wait(number, seconds=900) for name, number in jobs.items()}


def test_the_family_to_the_end(long_part, family):
    graph = family.call("launch/family.sh", "--dry-run").stdout
    assert "mlp-pt-it-long" in graph and "after mlp-pt-it" in graph and graph.count("to run") == 8 + 7 + 7 + 1
    assert not (family.runs / "family" / "jobs.tsv").exists()
    jobs = submit(family)
    assert jobs.keys() >= STAGES
    states = ended(family, jobs)
    failed = [name for name, state in states.items() if state != "COMPLETED"]
    assert not failed, family.log(jobs[failed[0]])[-3000:]
    models = yaml.safe_load((family.recipes / "family.yaml").read_text())["models"]
    summary = json.loads((family.runs / "report" / "summary.json").read_text())
    assert all(name in json.dumps(summary) for name in models)
    assert {path.parent.name for path in family.runs.glob("eval/*/results.json")} == set(models)
    assert submit(family) == {}
    table = family.call("launch/status.sh").stdout
    assert table.count("done") == len(jobs)


def test_a_stage_that_fails_ends_those_behind_it_and_the_rest_can_be_submitted_again(long_part, family):
    keep(family, models={"IT": ["mlp", "it"], "IT+LONG-IT": ["mlp", "it", "long"]})
    data = family.folder / "it.jsonl"
    shutil.copy(yaml.safe_load((family.recipes / "it.yaml").read_text())["data"], data)
    family.change("it", data=str(data))
    jobs = submit(family)
    # When all that could be checked has been.
    away = data.rename(family.folder / "away.jsonl")
    states = ended(family, jobs)
    assert (states.pop("mlp"), states.pop("mlp-it")) == ("COMPLETED", "FAILED")
    assert "it.jsonl: No such file" in family.log(jobs["mlp-it"])
    assert set(states.values()) == {"CANCELLED"} and "report" in states
    assert "failed" in family.call("launch/status.sh").stdout
    away.rename(data)
    again = submit(family)
    assert again.keys() == jobs.keys() - {"mlp"}
    assert set(ended(family, again).values()) == {"COMPLETED"}
    assert Path(family.runs / "mlp-it-long" / "model" / "config.json").exists()
