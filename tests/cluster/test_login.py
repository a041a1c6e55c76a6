"""What the scripts refuse on the login node, each in one line, and what they would run."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.cluster.conftest import ROOT, Site

LLM, LMM = "launch/train_from_llm.sh", "launch/train_from_lmm.sh"


def refused(site: Site, *command: str, code: int = 1, **settings: str) -> str:
    """The line in which a script refuses: 1 for a stage that cannot run, 2 for a wrong call of the script."""
    done = site.call(*command, **settings)
    assert done.returncode == code, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_good_stage_is_told_what_it_will_do(login):
    done = login.call(LLM, "--check", "mlp")
    assert done.returncode == 0, done.stderr
    assert "recipe mlp: 4 = 2 node(s) x 1 x 2 samples x 1 accumulated" in done.stdout
    assert "12 rows" in done.stdout and "the first 12 open" in done.stdout


def test_a_bad_recipe(login):
    login.change("mlp", learning_rat=1)
    assert "learning_rat: unknown field" in refused(login, LLM, "--check", "mlp")
    assert "nowhere.yaml: no such file (remedy: " in refused(login, LLM, "--check", "nowhere", code=2)


def test_an_impossible_split_names_one_that_fits(login):
    line = refused(login, LLM, "--check", "mlp", NODES="2", GPUS_PER_NODE="2")
    assert "4 cannot be split over 4 rank(s) x 2 samples (remedy: set per_device_batch: 1" in line
    line = refused(login, LLM, "--check", "mlp", NODES="3")
    assert "take a number of ranks that divides 4" in line


def test_a_missing_image(login):
    assert "nowhere.sif: no such image (remedy: make image" in refused(
        login, LLM, "--check", "mlp", IMAGE="nowhere.sif", code=2
    )


def test_a_missing_start(login):
    line = refused(login, LLM, "--check", "pt")
    assert f"{login.runs}/mlp/model: no such folder (remedy: train its parent stage" in line
    line = refused(login, LLM, "--check", "mlp", VISION_TOWER="nowhere")
    assert "nowhere: no such folder (remedy: VISION_TOWER=" in line


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"data": "nowhere.jsonl"}, "nowhere.jsonl: No such file"),
        ({"image_folder": "nowhere"}, "nowhere: no such image folder"),
        ({"save_total_limit": 10**9}, "GiB for checkpoints and model"),
    ],
)
def test_missing_data_and_room(login, fields, said):
    login.change("mlp", **fields)
    assert said in refused(login, LLM, "--check", "mlp")


def test_a_torn_image(login, rows, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for path in (rows / "images").iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    (images / "3.png").write_bytes((images / "3.png").read_bytes()[:60])
    login.change("mlp", image_folder=str(images))
    assert "1 of the first 12 images do not open; the first: " in refused(login, LLM, "--check", "mlp")


def test_settings_that_are_none(login):
    assert "ENGINE=fast is unknown" in refused(login, LLM, "--check", ENGINE="fast", code=2)
    assert "DISTRIBUTED=zero9 has no file" in refused(login, LLM, "--check", DISTRIBUTED="zero9", code=2)
    assert "unknown option --chek" in refused(login, LLM, "--chek", code=2)


def test_zero_without_deepspeed(login, tmp_path):
    (tmp_path / "sitecustomize.py").write_text('import sys\n\nsys.modules["deepspeed"] = None\n')
    how = {"DISTRIBUTED": "zero3", "PYTHONPATH": str(tmp_path)}
    line = refused(login, LLM, "--check", "mlp", **how)
    assert "DISTRIBUTED=zero3 needs DeepSpeed, which is not installed (remedy: make deepspeed" in line
    assert login.call(LLM, "--check", "mlp", **how, NODES="1").returncode == 0


def test_what_the_upstream_trainer_cannot_do_or_start_from(login, tmp_path):
    (tmp_path / "llava_next.sif").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apptainer").symlink_to("/bin/true")
    how = {"ENGINE": "llava-next", "IMAGE": str(tmp_path / "llava_next.sif")}
    how["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    assert "DISTRIBUTED=fsdp is for ENGINE=native (remedy: " in refused(
        login, LLM, "--check", "mlp", **how, DISTRIBUTED="fsdp"
    )
    # The layout of the checkpoints that LLaVA-NeXT's authors published: the tower is a name on the hub.
    elsewhere = tmp_path / "model"
    elsewhere.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (elsewhere / name).write_text("{}")
    save_file({"weight": torch.zeros(1)}, elsewhere / "model.safetensors")
    config = {"model_type": "llava_llama", "mm_vision_tower": "openai/clip-vit-large-patch14-336"}
    (elsewhere / "config.json").write_text(json.dumps(config))
    line = refused(login, LMM, "--check", "it", **how, FROM=str(elsewhere), VISION_TOWER="nowhere")
    assert f"{elsewhere}: its vision tower openai/clip-vit-large-patch14-336 is not on this machine" in line
    assert "or VISION_TOWER= in launch/cluster.env)" in line
    there = login.call(LMM, "--check", "it", **how, FROM=str(elsewhere))
    assert f"start: {elsewhere}" in there.stdout and "start: " in there.stdout.split(f"start: {elsewhere}")[1]
    (elsewhere / "config.json").write_text('{"model_type": "llava_next"}')
    line = refused(login, LMM, "--check", "it", **how, FROM=str(elsewhere))
    assert "is a LLaVA-NeXT in Hugging Face format, not a model of the original LLaVA-NeXT code" in line


def test_an_image_of_the_upstream_trainer_is_for_nothing_else(login, tmp_path):
    (tmp_path / "llava_next.sif").touch()
    (tmp_path / "bin").mkdir()
    # Whatever is called in an image fails.
    (tmp_path / "bin" / "apptainer").symlink_to("/bin/false")
    how = {"IMAGE": str(tmp_path / "llava_next.sif"), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    assert login.call(LLM, "--check", "mlp", **how).returncode == 1
    assert "12 rows" in login.call(LLM, "--check", "mlp", **how, ENGINE="llava-next").stdout


def test_the_file_may_load_modules(login, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apptainer").symlink_to("/bin/true")
    (tmp_path / "native.sif").touch()
    lines = (f"PATH={tmp_path / 'bin'}:$PATH", f"IMAGE={tmp_path / 'native.sif'}", "ENGINE=none")
    Path(login.settings["CLUSTER_ENV"]).write_text("\n".join(lines))
    done = login.call(LLM, "--check", "mlp")
    assert done.returncode == 0, done.stderr


def test_the_environment_goes_before_the_file(login):
    Path(login.settings["CLUSTER_ENV"]).write_text('NODES=4\nGPUS_PER_NODE="4"\nPERPLEXITY_SETS="a=b c=d"\n')
    assert "2 node(s) x 1" in login.call(LLM, "--check", "mlp").stdout
    del login.settings["NODES"], login.settings["GPUS_PER_NODE"]
    assert "over 16 rank(s)" in refused(login, LLM, "--check", "mlp")


def test_without_slurm_the_login_node_says_so(login):
    path = os.environ["PATH"] if not Path("/usr/bin/sbatch").exists() else str(login.folder / "bin")
    if "bin" in path and not (login.folder / "bin").exists():
        # Everything but SLURM.
        (login.folder / "bin").mkdir()
        for program in Path("/usr/bin").iterdir():
            if program.name not in ("sbatch", "squeue"):
                (login.folder / "bin" / program.name).symlink_to(program)
    line = login.call(LLM, "mlp", PATH=path).stderr.strip().splitlines()[-1]
    assert "sbatch not found (remedy: run this on the cluster's login node)" in line


RUNTIME = """#!/usr/bin/env python3
# Stands where apptainer would: notes how it was called, then runs the command outside.
import json, os, sys
words = sys.argv[1:]
json.dump(words, open(os.environ["CALLS"], "w"))
image = next(place for place, word in enumerate(words) if word.endswith(".sif"))
command = [os.environ["REAL_PYTHON"] if word == "python" else word for word in words[image + 1 :]]
os.execvp(command[0], command)
"""


def test_inside_an_image_data_sets_and_folders_are_bound(login, tmp_path):
    (tmp_path / "bin").mkdir()
    runtime = tmp_path / "bin" / "apptainer"
    runtime.write_text(RUNTIME)
    runtime.chmod(runtime.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "native.sif").touch()
    # The upstream trainer runs in another folder than the one that relative paths are of.
    relative = os.path.relpath(tmp_path / "native.sif", ROOT)
    image = f"{ROOT}/{relative}"
    calls = tmp_path / "calls.json"
    done = login.call(
        LLM,
        "--check",
        "mlp",
        IMAGE=relative,
        DEVICE="cuda",
        BINDS="/scratch,/work",
        SQUASHFS="data/pt.squashfs:/data/pt",
        PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        CALLS=str(calls),
        REAL_PYTHON=str(ROOT / ".venv" / "bin" / "python"),
    )
    assert done.returncode == 0, done.stderr
    words = json.loads(calls.read_text())
    before = words[: words.index(image)]
    assert before[0] == "exec" and "--nv" in before
    bound = [before[place + 1] for place, word in enumerate(before) if word == "--bind"]
    assert bound == [
        str(ROOT),
        f"{ROOT}/overlay:/opt/ndino/overlay",
        "/scratch",
        "/work",
        f"{ROOT}/data/pt.squashfs:/data/pt:image-src=/",
    ]
    assert before[before.index("--pwd") + 1] == str(ROOT)
    assert words[words.index(image) + 1 :][:4] == ["python", "-m", "ndino", "cluster"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("evaluate.sh", "evaluate.sh: no command given (remedy: tasks, perplexity or report"),
        ("evaluate.sh tasks", "evaluate.sh: tasks: no model given (remedy: evaluate.sh tasks NAME=FOLDER)"),
        ("evaluate.sh nonsense", "evaluate.sh: unknown command nonsense (remedy: tasks, "),
        ("data.sh", "data.sh: no source given (remedy: such as wit or eurlex"),
        ("data.sh nonsense", "ndino data: argument COMMAND: invalid choice: 'nonsense'"),
        ("train_from_llm.sh mlp pt", "train_from_llm.sh: two recipes, mlp and pt (remedy: one for each job)"),
        ("train_from_lmm.sh --nonsense", "train_from_lmm.sh: unknown option --nonsense (remedy: "),
        ("family.sh nonsense", "family.sh: unknown option nonsense (remedy: "),
        ("status.sh nonsense", "status.sh: unknown option nonsense (remedy: "),
    ],
)
def test_a_wrong_call_of_a_script_is_one_line_with_a_remedy_and_2(login, command, said):
    line = refused(login, *f"launch/{command}".split(), code=2)
    assert line.startswith(said) and line.endswith(")")


def test_all_that_a_stage_lacks_is_named_at_once(login):
    login.change("mlp", image_folder="nowhere", data="nowhere.jsonl")
    lines = login.call(LLM, "--check", "mlp", VISION_TOWER="notower").stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["notower", "nowhere", "nowhere.jsonl"]
    assert all(line.startswith("ndino cluster check: ") and "(remedy: " in line for line in lines)


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "launch").glob("*.sh")))
def test_every_script_explains_itself(login, script):
    done = login.call(f"launch/{script}", "--help")
    assert done.returncode == 0
    assert f"launch/{script}" in done.stdout and "SBATCH" not in done.stdout


@pytest.mark.system
def test_shellcheck_finds_nothing(login):
    if subprocess.run(["which", "shellcheck"], capture_output=True).returncode:
        pytest.skip("shellcheck is not installed")
    scripts = [*(ROOT / "launch").glob("*.sh"), *(ROOT / "launch" / "body").glob("*.sh")]
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
