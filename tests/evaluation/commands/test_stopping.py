"""Runs that are stopped, killed, or at work at the same time."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from lmms_eval.models.simple.llava_next_it import LlavaNextIt

from ndino.evaluation.commands import evaluate
from ndino.evaluation.store import hold
from tests.commands import evaluate as evaluate_command
from tests.evaluation.benchmarks import write_benchmarks
from tests.evaluation.commands.results import log, results


def test_a_stopped_run_says_how_to_resume(run, monkeypatch, capsys):
    def stop(self, model, name, control, *, right):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate.Benchmarks, "ask", stop)
    assert run("--tasks", "mtvqa-it") == 130
    assert "ndino evaluate: stopped (remedy: rerun to resume)" in capsys.readouterr().err


class PressesCtrlC:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        # Python delivers it here, where exceptions are dropped.
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_python_drops_in_a_destructor_ends_the_run(run, monkeypatch, capsys, tmp_path):
    kept: list[int] = []
    keep = evaluate.AnswerStore.keep

    def keep_and_press(self, answers):
        keep(self, answers)
        kept.append(len(answers))
        if len(kept) == 1:
            pressing = PressesCtrlC()
            del pressing

    monkeypatch.setattr(evaluate.AnswerStore, "keep", keep_and_press)
    assert run("--tasks", "mtvqa-it", "--batch", 1) == 130
    assert kept == [1], "it stopped after the batch, whose answer is kept"
    assert "ndino evaluate: stopped (remedy: rerun to resume)" in capsys.readouterr().err
    assert run("--tasks", "mtvqa-it", "--batch", 1) == 0
    answered = len((tmp_path / "eval" / "it" / "mtvqa-it.jsonl").read_text().splitlines())
    assert sum(kept) <= answered, "no question was answered twice"


def test_a_concurrent_run_is_rejected(run, tmp_path, capsys, tiny_model_folder):
    folder = tmp_path / "eval" / "it"
    with hold(folder):
        assert run("--tasks", "mtvqa-it") == 1
        assert f"{folder}: another run is at work here" in capsys.readouterr().err
        # Jobs that score a model each may share a folder.
        assert run("--tasks", "mtvqa-it", model=f"other={tiny_model_folder}") == 0
    assert run("--tasks", "mtvqa-it") == 0
    answers = tmp_path / "eval" / ".cache" / "answers"
    assert {path.name for path in answers.iterdir()} == {"it", "other"}


# The command, with a note of each batch before its answers are kept; after enough it does nothing more.
NOTED = """
import sys, time
from lmms_eval.models.simple.llava_next_it import LlavaNextIt
from tests.commands import evaluate as main
done, answer = [], LlavaNextIt._answer
def noted(self, batch, visuals):
    new = answer(self, batch, visuals)
    done.append(len(new))
    with open(sys.argv[1], "a") as notes:
        notes.write(f"{done[-1]}\\n")
    if sum(done) > 80:
        time.sleep(600)
    return new
LlavaNextIt._answer = noted
sys.exit(main(sys.argv[2:]))
"""


def test_a_killed_run_loses_at_most_the_batch_in_progress(tmp_path, tiny_model_folder, monkeypatch):
    tasks = ["gqa-it", "exams-v-it"]
    data = write_benchmarks(tmp_path / "data", rows=60)

    def arguments(out: str) -> list[str]:
        where = ["--data", data, "--out", tmp_path / out, "--batch", 8, "--tasks", ",".join(tasks)]
        return [str(part) for part in ["--model", f"it={tiny_model_folder}", *where]]

    folder, notes = tmp_path / "killed" / "it", tmp_path / "notes"
    command = [sys.executable, "-c", NOTED, str(notes), *arguments("killed")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def answered() -> list[int]:
        return [int(line) for line in notes.read_text().splitlines()] if notes.exists() else []

    while process.poll() is None and not (sum(answered()) > 80 and (folder / "results.json").exists()):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert set(results(folder)["tasks"]) == {"gqa-it"}
    finished = (folder / "gqa-it.jsonl").stat().st_mtime_ns

    asked = []
    answer = LlavaNextIt._answer
    monkeypatch.setattr(LlavaNextIt, "_answer", lambda *given: asked.append(new := answer(*given)) or new)
    assert evaluate_command(arguments("killed")) == 0
    in_hand = answered()[-1]
    assert 120 - sum(answered()) <= sum(map(len, asked)) <= 120 - sum(answered()) + in_hand
    assert (folder / "gqa-it.jsonl").stat().st_mtime_ns == finished
    assert evaluate_command(arguments("undisturbed")) == 0
    assert results(folder) == results(tmp_path / "undisturbed" / "it")
    for task in tasks:
        undisturbed = tmp_path / "undisturbed" / "it" / f"{task}.jsonl"
        assert (folder / f"{task}.jsonl").read_bytes() == undisturbed.read_bytes()


def test_two_processes_share_the_questions_and_give_the_same_result(
    run, tmp_path, tiny_model_folder, benchmark_folder
):
    tasks = "pope-it,seedbench_likelihood-it"
    assert run("--tasks", tasks) == 0
    where = ["--data", benchmark_folder, "--out", tmp_path / "two", "--tasks", tasks]
    accelerate = "accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1"
    options = "--main_process_port 0 --mixed_precision no --dynamo_backend no -m ndino evaluate"
    command = [sys.executable, "-m", *accelerate.split(), *options.split()]
    done = subprocess.run(
        [*command, "--model", f"it={tiny_model_folder}", *map(str, where)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pope_accuracy") == 1
    one, two = tmp_path / "eval" / "it", tmp_path / "two" / "it"
    assert (two / "pope-it.jsonl").read_bytes() == (one / "pope-it.jsonl").read_bytes()
    assert results(two)["tasks"]["pope-it"]["metrics"] == pytest.approx(
        results(one)["tasks"]["pope-it"]["metrics"]
    )
    # Of letters, the first process also logs what the second has found.
    letters = [log(folder / "seedbench_likelihood-it.jsonl") for folder in (one, two)]
    for alone, shared in zip(*letters, strict=True):
        assert alone.pop("letters") == pytest.approx(shared.pop("letters"), abs=1e-4) and alone == shared
    kept = []
    for path in (tmp_path / "two" / ".cache" / "answers").glob("*/*.sqlite"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            kept += database.execute("SELECT count(*) FROM answers").fetchone()
    # Four images: a process has all questions of a task about one of them, equal ones once.
    assert len(kept) == 2 and sum(kept) == 8 and min(kept) > 0
