"""What others may read: a run's files follow the umask, and a file that is closed is named as such."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import yaml

from ndino.train.engine import run_stage
from tests.surroundings import open_folder, user_without_rights
from tests.train.conftest import ROOT

CLOSED = """
import json, sys
from pathlib import Path
from ndino.cli import main

command, places = json.loads(sys.stdin.read())
for place in places:
    mode = Path(place).stat().st_mode
    Path(place).chmod(0)
    print(json.dumps(place), file=sys.stderr, flush=True)
    assert main(command) == 1
    Path(place).chmod(mode)
"""


def test_every_file_of_a_run_follows_the_umask(stage):
    before = os.umask(0o027)
    try:
        run_stage(stage, on_step=lambda *_: None)
    finally:
        os.umask(before)
    modes = {str(path.relative_to(stage.out)): path.stat().st_mode & 0o777 for path in stage.out.rglob("*")}
    folders = {name for name in modes if (stage.out / name).is_dir()}
    assert {"model", "checkpoint-6"} <= folders
    assert {modes.pop(name) for name in folders} == {0o750}
    assert set(modes.values()) == {0o640}, modes


def test_what_may_not_be_read_is_said_to_be_so(stage, recipe, rows):
    """A colleague resumes a run, or starts a stage from it, whose files are closed in turn."""
    with open_folder("colleague") as folder:
        folder.chmod(0o777)
        shutil.copytree(rows, folder / "rows")
        run_stage(dataclasses.replace(stage, out=folder / "first"), on_step=lambda *_: None)
        start = folder / "first" / "model"
        values = json.loads(json.dumps(dataclasses.asdict(recipe)))
        del values["name"]
        (folder / "it.yaml").write_text(yaml.safe_dump(values))
        second = dataclasses.replace(stage, model=start, language_model=None, vision_tower=None)
        second = dataclasses.replace(second, out=folder / "second", data=folder / "rows" / "rows.jsonl")
        run_stage(second, on_step=lambda *_: None)
        shutil.rmtree(folder / "second" / "model")
        checkpoint = folder / "second" / "checkpoint-6"
        closed = [start / name for name in ("model.safetensors", "config.json", "tokenizer.json")]
        closed += [start, folder / "rows" / "rows.jsonl", folder / "rows" / "images"]
        closed += [
            folder / "second" / "run.json",
            checkpoint / "whole.json",
            checkpoint / "optimizer.pt",
            checkpoint,
        ]
        command = ["train", folder / "it.yaml", "--out", folder / "second", "--model", start]
        command += ["--data", second.data, "--images", folder / "rows" / "images"]
        asked = json.dumps([list(map(str, command)), list(map(str, closed))])
        user = user_without_rights()
        subprocess.run(["chown", "-R", str(user.id), str(folder)], check=True)
        done = subprocess.run(
            user.command(sys.executable, "-c", CLOSED),
            input=asked,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) if line.startswith('"') else line for line in done.stderr.splitlines()]
    ends = [said.index(str(path)) for path in closed[1:]] + [len(said)]
    for path, end in zip(closed, ends, strict=True):
        assert f"{path}" in said[end - 1] and "Permission denied" in said[end - 1], said[end - 1]
        assert "ask the owner for chmod -R a+rX" in said[end - 1]
