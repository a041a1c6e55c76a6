"""Several ranks by ``--gpus``: what they are given, signals, exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from ndino.cli import main, parser
from ndino.common.errors import UsageError
from ndino.train.checkpoints import newest_complete_checkpoint, step_of
from ndino.train.launching.ranks import STAGE_OPTIONS, require_gpus, run_ranks, stage_command
from tests.train.conftest import ROOT

WAIT = "import signal, sys, time; signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM]); "


def program(text: str) -> list[str]:
    return ["-c", text]


def test_ranks_know_their_place(tmp_path):
    write = f"""
import os
from pathlib import Path
keys = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
(Path({str(tmp_path)!r}) / os.environ["RANK"]).write_text(" ".join(os.environ[key] for key in keys))
"""
    assert run_ranks(program(write), 2) == 0
    first, second = ((tmp_path / rank).read_text().split() for rank in "01")
    assert (first[:3], second[:3]) == (["0", "0", "2"], ["1", "1", "2"])
    assert first[3:] == second[3:] and first[3] == "127.0.0.1"


def test_a_rank_that_fails_ends_the_others_and_gives_its_code():
    begun = time.monotonic()
    fail = "import os, time; os.environ['RANK'] == '1' and exit(7); time.sleep(60)"
    assert run_ranks(program(fail), 2, grace=0.5) == 7
    killed = "import os, signal; os.environ['RANK'] == '0' and os.kill(os.getpid(), signal.SIGKILL)"
    assert run_ranks(program(killed), 2, grace=0.5) == 128 + 9
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("signals", "code"), [([signal.SIGTERM], 3), ([signal.SIGINT], 3), ([signal.SIGINT] * 2, 130)]
)
def test_signals_reach_the_ranks(signals, code, tmp_path):
    """Two ranks that end with 3 on SIGTERM; the second of them ignores it where there is a second Ctrl-C."""
    text = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); "
    if len(signals) > 1:
        text = "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    text = WAIT.replace("signal.pthread", text + "signal.pthread")
    text += f"open({str(tmp_path)!r} + '/' + str(__import__('os').getpid()), 'w').close(); time.sleep(60)"
    launcher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from ndino.train.launching.ranks import run_ranks; exit(run_ranks(['-c', {text!r}], 2))",
        ],
        cwd=ROOT,
    )
    while len([*tmp_path.iterdir()]) < 2:
        assert launcher.poll() is None
        time.sleep(0.05)
    for number in signals:
        launcher.send_signal(number)
        time.sleep(0.5)
    assert launcher.wait(timeout=30) == code
    assert not [path for path in tmp_path.iterdir() if Path(f"/proc/{path.name}").exists()], "a rank is left"


def test_ranks_end_with_a_launcher_that_is_killed(tmp_path):
    text = f"import os, time; open({str(tmp_path)!r} + '/' + str(os.getpid()), 'w').close(); time.sleep(60)"
    code = f"from ndino.train.launching.ranks import run_ranks; run_ranks(['-c', {text!r}], 2)"
    launcher = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    while len(pids := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        time.sleep(0.05)
    launcher.kill()
    launcher.wait()
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "a rank outlives its launcher"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_stopped_stage_of_two_ranks_saves_and_gives_130(backbones, rows, recipe, tmp_path):
    values = json.loads(json.dumps(dataclasses.asdict(dataclasses.replace(recipe, per_device_batch=1))))
    del values["name"]
    (tmp_path / "it.yaml").write_text(yaml.safe_dump(values))
    command = [tmp_path / "it.yaml", "--out", tmp_path / "run", "--data", rows / "rows.jsonl"]
    command += ["--images", rows / "images", "--gpus", "2", "--language-model", backbones.language_model]
    command += ["--vision-tower", backbones.vision_tower]
    launcher = subprocess.Popen(
        [sys.executable, "-m", "ndino", "train", *command],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "run" / "run.json").exists():
        assert launcher.poll() is None, launcher.stderr.read()
        time.sleep(0.05)
    launcher.terminate()
    said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 130, said
    assert "2 ranks train on the CPU" in said and "stopped after step" in said
    checkpoint = newest_complete_checkpoint(tmp_path / "run")
    assert 0 < step_of(checkpoint) < 6
    assert len([*checkpoint.glob("rng_state*.pth")]) == 2


def test_every_option_of_a_stage_is_handed_on():
    names = ("out", "model", "language-model", "vision-tower", "data", "images", "overrides")
    given = ["r.yaml", "--engine", "native", "--gpus", "2"]
    given += [part for name in names for part in (f"--{name}", name)]
    options = parser("train").parse_args(given)
    assert vars(options).keys() - {"program"} == {"recipe", "gpus", *STAGE_OPTIONS}
    again = parser("train").parse_args(stage_command(options))
    assert vars(again) == vars(options) | {"gpus": None}


def test_more_gpus_than_there_are_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_gpus(2)
    with pytest.raises(UsageError, match=r"--gpus 4: PyTorch sees 2 GPU\(s\) \(remedy: --gpus 2\)"):
        require_gpus(4)


def test_a_batch_that_cannot_be_split_is_refused_before_ranks_start(backbones, rows, tmp_path, capsys):
    recipe = ROOT / "launch" / "recipes" / "it.yaml"
    command = ["train", recipe, "--out", tmp_path / "run", "--data", rows / "rows.jsonl", "--gpus", "3"]
    command += ["--images", rows / "images", "--language-model", backbones.language_model]
    assert main([str(part) for part in [*command, "--vision-tower", backbones.vision_tower]]) == 1
    assert "cannot be split over 3 rank(s)" in capsys.readouterr().err
