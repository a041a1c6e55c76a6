"""A model trained anew in the same folder: its captions, tasks and kinds of questions are renewed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from datasets import Image as ImageFeature
from datasets import Value

from fixtures.tiny import write_tiny_model
from miniature import steps as demo_steps
from ndino.cli import main
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.formats.hub_folders import write_split
from tests.evaluation.benchmarks import NAMES, draw_image


@pytest.fixture
def run(
    tmp_path: Path, benchmark_folder: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A demo with one model, captions and two benchmarks; one of these in two kinds."""
    monkeypatch.setattr(demo_steps, "TASKS", "gqa-{lang},mtvqa-{lang}")
    benchmarks = tmp_path / "data" / "benchmarks"
    shutil.copytree(benchmark_folder, benchmarks)
    rows = [{"image": draw_image(index), "answer": name} for index, name in enumerate(NAMES)]
    write_split(benchmarks / "captions", "test", rows, {"image": ImageFeature(), "answer": Value("string")})
    (benchmarks / "kinds.json").write_text(json.dumps({"gqa-it": ["colour", "colour", "number", "number"]}))
    shutil.copytree(tiny_model_folder, tmp_path / "model")
    steps(tmp_path)
    return tmp_path


def steps(out: Path) -> None:
    """What `make demo` does with a trained model."""
    benchmarks = out / "data" / "benchmarks"
    demo_steps.caption(lambda *_: None, "it", out / "model", benchmarks, out)
    demo_steps.evaluate(lambda *_: None, {"it": out / "model"}, benchmarks, out, "it")


def entries(out: Path) -> dict[str, dict]:
    return json.loads((out / "eval" / "it" / "results.json").read_text())["tasks"]


def train_anew(out: Path) -> None:
    write_tiny_model(out / "other", seed=1)
    shutil.copy(out / "other" / "model.safetensors", out / "model")


def test_the_same_command_renews_everything_of_a_model_trained_anew(run, capsys):
    before = entries(run)
    assert {*before} == {"captions", "gqa-it", "mtvqa-it", "colour", "number"}
    train_anew(run)
    # The tasks alone: the captions would stay, and the message says what renews them.
    command = ["evaluate", "--model", f"it={run / 'model'}", "--out", str(run / "eval")]
    command += ["--data", str(run / "data" / "benchmarks"), "--tasks", "gqa-it,mtvqa-it"]
    capsys.readouterr()
    assert main(command) == 1
    assert capsys.readouterr().err == (
        f"ndino evaluate: {run / 'eval' / 'it'}: also holds captions, whose results are stale: weights "
        "(remedy: renew them with make demo, choose another --out, or remove that folder)\n"
    )
    assert entries(run) == before
    steps(run)
    after = entries(run)
    assert {*after} == {*before}
    weights = {entry["depends"]["answers"]["weights"] for entry in after.values()}
    assert len(weights) == 1 and weights != {before["captions"]["depends"]["answers"]["weights"]}


def test_rescore_leaves_out_what_the_demo_renews(run, capsys, monkeypatch):
    before = entries(run)
    monkeypatch.setattr(LoadedTask, "version", 99.0)
    rescore = ["rescore", str(run / "eval" / "it"), "--data", str(run / "data" / "benchmarks")]
    capsys.readouterr()
    assert main(rescore) == 0
    said = capsys.readouterr()
    assert "it: 2 of 2 tasks scored" in said.out
    assert "it: colour, number: parts of tasks that were scored anew: renew them with make demo" in said.out
    # The parts went with their task.
    assert {*entries(run)} == {"captions", "gqa-it", "mtvqa-it"} and not [*(run / "eval/it").glob("colour*")]
    assert entries(run)["captions"] == before["captions"]

    # What an earlier version did not mark is named, and the rest scored.
    path = run / "eval" / "it" / "results.json"
    held = json.loads(path.read_text())
    del held["tasks"]["captions"]["renewed_by"]
    path.write_text(json.dumps(held))
    assert main(rescore) == 1
    said = capsys.readouterr()
    assert "it: 2 of 3 tasks scored" in said.out and "captions: unknown task 'captions'" in said.err
