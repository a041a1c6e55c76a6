"""Several ranks by ``--gpus``: what they are given, signals, exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
import re
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
from ndino.results.live import live_stages
from ndino.train.checkpoints import newest_complete_checkpoint, step_of
from ndino.train.launching.last_words import LastWords, conclusions, killed
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


def test_a_rank_that_fails_ends_the_others_and_gives_its_code(tmp_path):
    outlived = f"time.sleep(20); open({str(tmp_path / 'outlived')!r}, 'w')"
    fail = f"import os, time; os.environ['RANK'] == '1' and exit(7); {outlived}"
    assert run_ranks(program(fail), 2, grace=0.5) == 7
    kill = "os.environ['RANK'] == '0' and os.kill(os.getpid(), signal.SIGKILL)"
    assert run_ranks(program(f"import os, signal, time; {kill}; {outlived}"), 2, grace=0.5) == 128 + 9
    # A rank that was waited for has written it.
    assert not (tmp_path / "outlived").exists()


def note_in(folder: Path) -> str:
    """Python that leaves a file with the number of its process there."""
    return f"open({str(folder)!r} + '/' + str(__import__('os').getpid()), 'w').close()"


@pytest.mark.parametrize(
    ("signals", "code"), [([signal.SIGTERM], 3), ([signal.SIGINT], 3), ([signal.SIGINT] * 2, 130)]
)
def test_signals_reach_the_ranks(signals, code, tmp_path):
    """Two ranks that end with 3 on SIGTERM; where there is a second Ctrl-C, they note the first and go on."""
    begun, told = tmp_path / "begun", tmp_path / "told"
    for folder in (begun, told):
        folder.mkdir()
    text = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); "
    if len(signals) > 1:
        text = f"signal.signal(signal.SIGTERM, lambda *_: {note_in(told)}); "
    text = WAIT.replace("signal.pthread", text + "signal.pthread")
    text += f"{note_in(begun)}; time.sleep(60)"
    launcher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from ndino.train.launching.ranks import run_ranks; exit(run_ranks(['-c', {text!r}], 2))",
        ],
        cwd=ROOT,
    )
    for number, waits_for in zip(signals, (begun, told), strict=False):
        while len([*waits_for.iterdir()]) < 2:
            assert launcher.poll() is None
            time.sleep(0.05)
        launcher.send_signal(number)
    assert launcher.wait(timeout=60) == code
    assert not [path for path in begun.iterdir() if Path(f"/proc/{path.name}").exists()], "a rank is left"


# A rank that fails as `ndino train` does: HOW is what each rank does.
FAILING = """
import os, signal, sys
import torch, torch.distributed as dist
from pathlib import Path
from ndino.train.health.ranks import ending_together, from_first_rank
from ndino.train.launching.last_words import telling_the_launcher
from ndino.train.stage import StageError, StageStopped

def fail(text):
    raise StageError(text)

def stop(text):
    raise StageStopped(text)

first = os.environ["RANK"] == "0"
with telling_the_launcher(), ending_together(Path("none")):
    dist.init_process_group("gloo")
    HOW
    dist.all_reduce(torch.ones(1))
"""


@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("first or os.kill(os.getpid(), signal.SIGKILL)", 137, "rank 1 was killed (SIGKILL)"),
        ("first or fail('rank 1 alone (remedy: none)')", 1, "rank 1 alone (remedy: none)"),
        ("from_first_rank(lambda: fail('the data are bad (remedy: none)'))", 1, "the data are bad (remedy: "),
        (
            "from_first_rank(lambda: stop('stopped while indexing'))",
            130,
            "stopped while indexing (remedy: rerun",
        ),
    ],
    ids=["killed", "one fails", "all fail", "all stop"],
)
def test_the_reason_is_said_once_and_without_a_traceback(how, code, line, capfd):
    assert run_ranks(program(FAILING.replace("HOW", how)), 2) == code
    said = capfd.readouterr().err
    assert said.startswith(f"ndino train: {line}") and said.count("\n") == 1, said


def test_a_rank_that_is_killed_is_why_the_run_failed(tmp_path):
    """By a signal that does not ask for an end; any other reason is noted by the rank that has it."""
    lost = [LastWords(0, "rank 0: the connection broke", True)]
    said = [LastWords(0, "the disk is full", False)]
    by_memory = "rank 1 was killed (SIGKILL), as Linux does when memory runs out (remedy: rerun to resume"
    for words, codes, line in [
        (lost, {0: 1, 1: -signal.SIGKILL}, by_memory),
        ([], {1: -signal.SIGSEGV}, "rank 1 was ended by SIGSEGV"),
        (lost, {0: 1, 1: -signal.SIGTERM}, None),
        (lost, {0: 1, 1: -signal.SIGUSR1}, None),
        (said, {0: 1, 1: -signal.SIGKILL}, None),
        (lost, {0: 1, 1: 1}, None),
        ([], {0: 0, 1: 0}, None),
    ]:
        found = killed(words, codes)
        assert (found or "").startswith(line or "") and (found is None) == (line is None), (words, codes)


def ranks_of(launcher: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    return [pid for pid in map(int, children) if b"LOCAL_RANK=" in Path(f"/proc/{pid}/environ").read_bytes()]


def test_the_page_says_that_a_rank_was_killed(stage_line, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    logged = {"step": 2, "of": 6, "loss": 6.0, "seconds_per_step": 1.0, "time": round(time.time())}
    (run / "progress.json").write_text(json.dumps(logged))
    # No rank gets to its training.
    shells = tmp_path / "python"
    shells.write_text("#!/bin/sh\nexec sleep 60\n")
    shells.chmod(0o755)
    main_of = f"import sys; sys.executable = {str(shells)!r}; from ndino.cli import main; sys.exit(main())"
    launcher = subprocess.Popen(
        [sys.executable, "-c", main_of, "train", *stage_line],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(ranks := ranks_of(launcher)) < 2:
        assert launcher.poll() is None, launcher.stderr.read()
        time.sleep(0.02)
    for pid in ranks:
        os.kill(pid, signal.SIGKILL)
    said = launcher.communicate(timeout=60)[1]
    assert launcher.returncode == 128 + signal.SIGKILL, said
    (why,) = [live.problem for live in live_stages(run, now=time.time())]
    assert why.startswith("failed: rank 0 was killed (SIGKILL), as Linux does when memory runs out")
    assert not json.loads((run / "failure.json").read_text())["repeats"], "a job would start it again"


def test_what_ranks_end_with():
    lost = [LastWords(rank, f"rank {rank}: the connection broke", True) for rank in (0, 2)]
    assert conclusions(lost, {0: 1, 2: 1}) == [lost[0].text], "nothing else is known"
    assert conclusions(lost, {0: 1, 1: -11, 2: 1}) == [
        "rank 1 was ended by SIGSEGV (remedy: rerun to resume)"
    ]
    (line,) = conclusions(lost, {0: 1, 1: 3, 2: 1})
    assert line.startswith("rank 1 ended with exit code 3, its error is above")
    full = [LastWords(0, "the disk is full", False), LastWords(1, "rank 0: the disk is full", False)]
    assert conclusions(full, {0: 1, 1: 1}) == ["the disk is full"]
    assert conclusions([], {0: 0, 1: 0}) == []


def test_ranks_end_with_a_launcher_that_is_killed(tmp_path):
    text = f"import os, time; open({str(tmp_path)!r} + '/' + str(os.getpid()), 'w').close(); time.sleep(60)"
    code = f"from ndino.train.launching.ranks import run_ranks; run_ranks(['-c', {text!r}], 2)"
    launcher = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    while len(pids := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        time.sleep(0.05)
    launcher.kill()
    launcher.wait()
    deadline = time.monotonic() + 60
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "a rank outlives its launcher"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def stage_line(backbones, rows, recipe, tmp_path) -> list[str]:
    """Arguments of ``ndino train`` for two ranks in ``tmp_path / "run"``."""
    values = json.loads(json.dumps(dataclasses.asdict(dataclasses.replace(recipe, per_device_batch=1))))
    del values["name"]
    (tmp_path / "it.yaml").write_text(yaml.safe_dump(values))
    command = [tmp_path / "it.yaml", "--out", tmp_path / "run", "--data", rows / "rows.jsonl"]
    command += ["--images", rows / "images", "--gpus", "2", "--language-model", backbones.language_model]
    return [str(part) for part in [*command, "--vision-tower", backbones.vision_tower]]


def test_a_stopped_stage_of_two_ranks_saves_and_gives_130(stage_line, tmp_path):
    launcher = subprocess.Popen(
        [sys.executable, "-m", "ndino", "train", *stage_line],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "run" / "progress.json").exists():
        assert launcher.poll() is None, launcher.stderr.read()
        time.sleep(0.05)
    launcher.terminate()
    said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 130, said
    assert "2 ranks train on the CPU" in said and said.count("ndino train: ") == 1, said
    assert re.search(
        r"^ndino train: .*stopped after step \d \(remedy: rerun to resume\)$", said, re.MULTILINE
    )
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
