"""What launch/family.sh refuses before anything is submitted, and what counts as the family's own scores."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import Site
from tests.evaluation.benchmarks import write_benchmarks

PERPLEXITY = "llava-bench-it=swap-uniba/WILD_IT"


@pytest.fixture
def family(login, tmp_path) -> Site:
    """A login node whose family lacks nothing but SLURM's programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name not in ("sbatch", "squeue"):
            (programs / program.name).symlink_to(program)
    login.settings |= {
        "PATH": str(programs),
        "BENCHMARKS": str(write_benchmarks(tmp_path / "benchmarks", rows=4)),
        "PERPLEXITY_SETS": PERPLEXITY,
        "MODELS": str(tmp_path / "models"),
        "HF_HUB_OFFLINE": "1",
    }
    (tmp_path / "models" / "mblip-mt0-xl").mkdir(parents=True)
    return login


def problems(site: Site, **settings: str) -> list[str]:
    """The lines in which submission is refused."""
    done = site.call("launch/family.sh", **settings)
    assert done.returncode == 1, done.stdout + done.stderr
    assert not done.stdout and not (site.runs / "family").exists()
    return done.stderr.strip().splitlines()


def test_a_family_that_lacks_nothing_comes_as_far_as_sbatch(family):
    done = family.call("launch/family.sh")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "family.sh: sbatch not found (remedy: run this on the cluster's login node)"
    ]


def test_every_problem_is_told_at_once_and_nothing_is_submitted(family, tmp_path):
    family.change("mlp", image_folder="nowhere")
    family.change("pt", learning_rat=1)
    family.change("it", data="nowhere.jsonl")
    family.change("long", effective_batch=3)
    shutil.rmtree(tmp_path / "benchmarks" / "lmms-lab")
    shutil.rmtree(tmp_path / "benchmarks" / "crux82")
    shutil.rmtree(tmp_path / "models")
    lines = problems(family, PERPLEXITY_SETS=f"{PERPLEXITY} none=swap-uniba/NONE")
    assert len(lines) == 7 and all(line.startswith("ndino cluster family: ") for line in lines)
    said = [
        "nowhere: no such image folder (remedy: image_folder in the recipe)",
        "learning_rat: unknown field",
        "nowhere.jsonl: No such file or directory (remedy: data in the recipe)",
        "recipe long: an effective batch of 3 cannot be split over 2 rank(s)",
        "has no crux82/gqa-it/ for the task gqa-it, no lmms-lab/GQA/ for the task gqa-it (",
        "PERPLEXITY_SETS: none=swap-uniba/NONE: no data in ",
        "mblip: Gregor/mblip-mt0-xl is not in ",
    ]
    assert not [text for text in said if not any(text in line for line in lines)], lines


def test_without_benchmarks_no_task_would_run(family):
    (no_tasks, no_perplexity) = problems(family, BENCHMARKS="nowhere")
    assert "nowhere: no such folder of benchmarks (remedy: make stage-weights, or BENCHMARKS=)" in no_tasks
    assert "no data in nowhere/swap-uniba/WILD_IT (remedy: make stage-weights" in no_perplexity
    # With the hub in reach of the nodes, only what is not on it.
    (line,) = problems(family, BENCHMARKS="nowhere", HF_HUB_OFFLINE="0")
    assert "task gqa-it: crux82/gqa-it is not on the hub" in line


def test_an_unknown_task(family):
    (line,) = problems(family, TASKS="pope-it,pope-itt")
    assert "TASKS=pope-it,pope-itt: unknown task 'pope-itt'" in line


def test_the_graph_is_shown_without_slurm_and_without_data(family):
    done = family.call("launch/family.sh", "--dry-run", BENCHMARKS="nowhere")
    assert done.returncode == 0 and done.stdout.count("to run") == 8 + 7 + 7 + 1 + 1


def test_an_engine_in_an_image_needs_no_tree_beside_it(family, tmp_path):
    (tmp_path / "bin" / "apptainer").unlink(missing_ok=True)
    (tmp_path / "bin" / "apptainer").symlink_to("/bin/true")
    (tmp_path / "llava_next.sif").touch()
    said = problems(family, ENGINE="llava-next", IMAGE=str(tmp_path / "llava_next.sif"), DISTRIBUTED="fsdp")
    assert "DISTRIBUTED=fsdp is for ENGINE=native" in said[0]
    assert not any("LLaVA-NeXT" in line or ".venv-llava" in line for line in said)


NO_CONTROLLER = """
ClusterName=test
SlurmctldHost=nobody(127.0.0.1)
SlurmctldPort=1
AuthType=auth/none
MessageTimeout=1
NodeName=node
PartitionName=main Nodes=node
"""


@pytest.mark.system
@pytest.mark.parametrize("command", [("family.sh",), ("family.sh", "--dry-run"), ("status.sh",)])
def test_a_queue_that_does_not_answer_is_not_taken_for_an_empty_one(family, tmp_path, command):
    if not (squeue := shutil.which("squeue")):
        pytest.skip("squeue is not installed")
    (tmp_path / "bin" / "squeue").symlink_to(squeue)
    script, *options = command
    (tmp_path / "slurm.conf").write_text(NO_CONTROLLER)
    done = family.call(f"launch/{script}", *options, SLURM_CONF=str(tmp_path / "slurm.conf"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{script}: squeue failed, so the queue is unknown (remedy: ")
    assert done.stderr.count("\n") == 1


def test_what_is_scored_by_hand_is_not_the_familys(family):
    # Both find nothing to measure, and are done with it.
    (family.runs / "family").mkdir(parents=True)
    by_hand = ("launch/evaluate.sh", "perplexity", "IT=nowhere")
    stamp = family.runs / "family" / "perplexity-IT.done"
    assert family.call(*by_hand, PERPLEXITY_SETS=" ").returncode == 0
    assert not stamp.exists()
    assert family.call(*by_hand, PERPLEXITY_SETS=" ", NDINO_FAMILY="1").returncode == 0
    assert stamp.read_text() == " \n"


def test_a_recipe_of_no_model_is_not_checked(family):
    path = family.recipes / "family.yaml"
    content = yaml.safe_load(path.read_text()) | {"models": {"IT": ["mlp", "it"]}, "baselines": []}
    path.write_text(yaml.safe_dump(content))
    family.change("long", data="nowhere.jsonl")
    assert "sbatch not found" in family.call("launch/family.sh").stderr


def test_models_are_scored_in_the_languages_of_the_settings_or_of_the_familys_file(family, tmp_path):
    write_benchmarks(tmp_path / "benchmarks", rows=4, code="es")
    shutil.rmtree(tmp_path / "benchmarks" / "swap-uniba" / "MTVQA_ES")
    del family.settings["PERPLEXITY_SETS"]
    path = family.recipes / "family.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"languages": ["it", "es"]}))
    # A desktop's LANGUAGE is gettext's.
    left_out, no_slurm = family.call("launch/family.sh", LANGUAGE="en_US:en").stderr.splitlines()
    assert left_out.startswith("TASKS=ndino-it,ndino-es: left out, since their data are not in ")
    assert left_out.endswith(": mtvqa-es (swap-uniba/MTVQA_ES)") and "sbatch not found" in no_slurm
    shutil.rmtree(family.runs / "family")
    for name in ("swap-uniba", "crux82"):
        shutil.rmtree(tmp_path / "benchmarks" / name)
    no_tasks, no_answers = problems(family, LANGUAGE="es")
    assert "TASKS=ndino-es: " in no_tasks and "no swap-uniba/OK-VQA_ES/ for the task ok-vqa-es, " in no_tasks
    assert "PERPLEXITY_SETS: llava-bench-es=swap-uniba/WILD_ES: no data in " in no_answers


def test_a_language_without_tasks_is_refused_before_anything_is_planned(family):
    done = family.call("launch/family.sh", LANGUAGE="en")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ndino cluster questions: language 'en': has no tasks without ")
