"""Stages of the upstream engine that are resumed: after a kill, and with checkpoints that were changed."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from ndino.llava_next.engine import run_stage
from ndino.train.checkpoints import mark_complete, newest_complete_checkpoint, step_of
from ndino.train.stage import StageError
from tests.llava_next.conftest import first_stage
from tests.llava_next.test_engine import equal, next_stage, quiet

pytestmark = pytest.mark.upstream
ROOT = Path(__file__).parents[2]
KILLED = Path(__file__).with_name("killed.py")


@pytest.fixture(scope="module")
def second_run(first_run, recipe, rows, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("second") / "mlp-it"
    run_stage(next_stage(recipe, rows, first_run, out), on_step=quiet)
    return out


def command(recipe, rows: Path, out: Path, start: list[str]) -> list[str]:
    """The engine's command line for ``recipe``, which is written out for it."""
    folder = out.parent / f"{out.name}-recipes"
    folder.mkdir(exist_ok=True)
    fields = json.loads(json.dumps(dataclasses.asdict(recipe)))
    path = folder / f"{fields.pop('name')}.yaml"
    path.write_text(yaml.safe_dump(fields))
    data = ["--data", str(rows / "rows.jsonl"), "--images", str(rows / "images")]
    engine = [sys.executable, "-m", "ndino", "train", str(path), "--engine", "llava-next"]
    return [*engine, "--out", str(out), *data, *start]


def processes_in(folder: Path) -> list[int]:
    """Processes whose working directory is ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and Path(os.readlink(entry / "cwd")) == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("stage_name, step", [("mlp", 2), ("it", 4)])
def test_a_killed_stage_resumes_to_the_same_weights(
    stage_name, step, tree, first_run, second_run, first_recipe, recipe, backbones, rows, tmp_path
):
    out = (tmp_path / stage_name).resolve()
    if stage_name == "mlp":
        undisturbed, chosen = first_run, first_recipe
        start = ["--language-model", backbones.language_model, "--vision-tower", backbones.vision_tower]
    else:
        undisturbed, chosen = second_run, recipe
        start = ["--model", first_run / "upstream"]
    line = command(chosen, rows, out, list(map(str, start)))
    # An epoch has three steps: after two, the first is resumed, after four the second.
    killed = [sys.executable, KILLED, tree.folder, tree.python, str(step), *line[3:]]
    gated = os.environ | {"GATED_PYTHON": str(tmp_path / "python"), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(killed, cwd=ROOT, env=gated, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr[-2000:]
    waited = time.monotonic()
    while processes_in(out) and time.monotonic() - waited < 20:
        time.sleep(0.05)
    assert processes_in(out) == [], "the trainer has outlived its engine"
    assert step_of(newest_complete_checkpoint(out)) == step
    assert not (out / "manifest.json").exists() and not (out / "upstream").exists()
    (out / "checkpoint-99").mkdir()  # torn: as if the kill had come while it was written
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert equal(out, undisturbed)
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["resumed_from"], manifest["steps"]) == (f"checkpoint-{step}", 6)
    whole = json.loads((undisturbed / "manifest.json").read_text())
    assert (manifest["tokens"], manifest["loss_curve"]) == (whole["tokens"], whole["loss_curve"])
    assert manifest["train_loss"] == pytest.approx(whole["train_loss"], rel=1e-3)


def test_a_run_killed_after_its_last_checkpoint_trains_no_further_step(
    tree, first_recipe, backbones, rows, tmp_path
):
    # Four steps end within the second epoch of three.
    stage = first_stage(dataclasses.replace(first_recipe, max_steps=4), backbones, rows, tmp_path / "run")
    run_stage(stage, on_step=quiet)
    killed = dataclasses.replace(stage, out=tmp_path / "killed")
    shutil.copytree(
        stage.out, killed.out, ignore=shutil.ignore_patterns("upstream", "model", "manifest.json")
    )
    (killed.out / "upstream.partial").mkdir()  # the kill came while the result was written
    steps = []
    run_stage(killed, on_step=lambda *step: steps.append(step))
    assert steps == [] and equal(killed.out, stage.out) and not (killed.out / "upstream.partial").exists()
    ours, theirs = (json.loads((run.out / "manifest.json").read_text()) for run in (killed, stage))
    assert (ours["resumed_from"], ours["steps"]) == ("checkpoint-4", 4)
    same = ("weights", "steps", "tokens", "loss_curve", "warnings")
    assert [ours[name] for name in same] == [theirs[name] for name in same]
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)


def test_what_was_trained_is_published_by_a_rerun(first_run, first_recipe, backbones, rows, tmp_path):
    stage = first_stage(first_recipe, backbones, rows, tmp_path / "mlp")
    unpublished = shutil.ignore_patterns("model", "manifest.json", "checkpoint-*")
    shutil.copytree(first_run, stage.out, ignore=unpublished, symlinks=True)
    log, tokenizer = stage.out / "train.log", stage.out / "upstream" / "tokenizer.json"
    trained = log.read_bytes()
    # The conversion fails. Its own manifest of the result was never written, as after a kill before it.
    tokenizer.rename(tmp_path / "tokenizer.json")
    with pytest.raises(StageError, match=r"upstream: cannot be converted: .*tokenizer"):
        run_stage(stage, on_step=quiet)
    assert not (stage.out / "manifest.json").exists() and not (stage.out / "model").exists()
    # It is killed, with a part of the model written, or all of it and no manifest.
    (tmp_path / "tokenizer.json").rename(tokenizer)
    (stage.out / "model.partial").mkdir()
    (stage.out / "model.partial" / "model.safetensors").write_bytes(b"torn")
    shutil.copytree(first_run / "model", stage.out / "model")
    (stage.out / "model" / "model.safetensors").write_bytes(b"of another conversion")
    steps = []
    assert run_stage(stage, on_step=lambda *step: steps.append(step)) == stage.out / "model"
    assert steps == [] and log.read_bytes() == trained
    held, ours = (json.loads((run / "manifest.json").read_text()) for run in (first_run, stage.out))
    of_publishing = ("ended", "seconds")
    assert {name: ours[name] for name in ours if name not in of_publishing} == {
        name: held[name] for name in held if name not in of_publishing
    }
    files = sorted(path.name for path in (first_run / "model").iterdir())
    assert sorted(path.name for path in (stage.out / "model").iterdir()) == files
    for name in files:
        assert (stage.out / "model" / name).read_bytes() == (first_run / "model" / name).read_bytes(), name
    assert not (stage.out / "model.partial").exists()


@pytest.mark.parametrize("change", [lambda content: bytes(len(content)), lambda content: content[:-1]])
def test_a_run_whose_checkpoints_are_all_damaged_is_not_started_over(
    change, first_run, first_recipe, backbones, rows, tmp_path
):
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(first_run / "run.json", out)
    shutil.copytree(first_run / "checkpoint-6", out / "checkpoint-6")
    state = out / "checkpoint-6" / "optimizer.pt"
    state.write_bytes(change(state.read_bytes()))
    with pytest.raises(StageError, match=r"checkpoint-6: damaged: .*optimizer\.pt.* does not start over by"):
        run_stage(first_stage(first_recipe, backbones, rows, out), on_step=quiet)
    assert not (out / "train.log").exists() and state.exists()


class Burglar:
    def __reduce__(self):
        return (Path.touch, (Path(os.environ["BURGLARY"]),))


def test_nothing_but_random_state_is_unpickled(
    first_run, first_recipe, backbones, rows, tmp_path, monkeypatch
):
    monkeypatch.setenv("BURGLARY", str(tmp_path / "broken-into"))
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(first_run / "run.json", out)
    shutil.copytree(first_run / "checkpoint-6", out / "checkpoint-6")
    state = json.loads((out / "checkpoint-6" / "trainer_state.json").read_text())
    (out / "checkpoint-6" / "trainer_state.json").write_text(json.dumps({**state, "global_step": 4}))
    torch.save({"python": Burglar()}, out / "checkpoint-6" / "rng_state.pth", pickle_module=pickle)
    mark_complete(out / "checkpoint-6")
    with pytest.raises(StageError, match="the upstream trainer failed"):
        run_stage(first_stage(first_recipe, backbones, rows, out), on_step=quiet)
    assert "Weights only load failed" in (out / "train.log").read_text()
    assert not (tmp_path / "broken-into").exists()
    assert not any("FORCE_NO_WEIGHTS_ONLY" in name for name in os.environ)
