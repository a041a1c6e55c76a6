from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from lmms_eval.api.task import ConfigurableTask
from lmms_eval.models.simple.llava_next_it import VERSION, LlavaNextIt
from PIL import Image
from transformers import LlavaNextForConditionalGeneration

from fixtures.tiny import write_tiny_model
from ndino.cli import main
from ndino.common.images import image_sha256
from ndino.common.provenance import commit
from ndino.evaluation import command as evaluate
from ndino.evaluation import provenance
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.store import hold
from ndino.results.logs import read_model
from tests.commands import evaluate as evaluate_command
from tests.evaluation.benchmarks import NAMES, draw_image, write_benchmarks

TASKS = ["gqa-it", "ok-vqa-it", "seedbench-it", "mtvqa-it", "exams-v-it", "pope-it", "llava-bench-it"]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    # The command sets these for its own process, which here is also that of all other tests.
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))


@pytest.fixture
def run(benchmark_folder: Path, tiny_model_folder: Path, tmp_path: Path):
    """Call the command; what is not given is the tiny model, local data and a fresh folder for results."""

    def call(
        *arguments: object, model: object = f"it={tiny_model_folder}", data: Path | None = benchmark_folder
    ) -> int:
        common = ["--model", model, "--out", tmp_path / "eval", "--batch", 32]
        common += [] if data is None else ["--data", data]
        return evaluate_command([str(argument) for argument in [*common, *arguments]])

    return call


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """The names of the models that were loaded."""
    names = []
    load = evaluate.load_model
    monkeypatch.setattr(
        evaluate, "load_model", lambda model, *rest: names.append(model.name) or load(model, *rest)
    )
    return names


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def log(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_logs_results_images_and_table(run, tmp_path, capsys, tiny_model_folder):
    assert run("--shuffle") == 0
    folder = tmp_path / "eval" / "it"
    expected = {f"{task}{kind}.jsonl" for task in TASKS for kind in ("", ".shuffled")} | {"results.json"}
    assert {path.name for path in folder.iterdir()} == expected

    found = results(folder)
    assert found["model"] == "it" and found["source"] == str(tiny_model_folder) and found["fingerprint"]
    assert set(found["tasks"]) == set(TASKS)
    pope = found["tasks"]["pope-it"]
    assert (pope["version"], pope["n"]) == (2.0, 12)
    assert list(pope["metrics"])[:6] == [
        *("pope_accuracy", "pope_precision", "pope_recall", "pope_f1_score", "pope_yes_ratio", "robust")
    ]
    assert pope["majority"]["pope_accuracy"] == 0.75
    answers = pope["depends"]["answers"]
    assert (answers["device"], answers["dtype"], answers["wrapper"]) == (
        "cpu",
        "float32",
        f"LlavaNextIt {VERSION}",
    )
    assert {"weights", "tokenizer", "processor", "torch", "transformers", "lmms_eval"} <= set(answers)
    assert pope["depends"]["task"]["generation"]["max_new_tokens"] == 128
    assert pope["made_with"] == {
        **{"ndino": version("ndino"), "commit": commit(), "gpu": None},
        "data_revisions": [None],
    }
    assert set(pope["shuffled"]) == set(pope["errors"]) == set(pope["metrics"])

    rows = log(folder / "gqa-it.jsonl")
    assert [row["doc_id"] for row in rows] == [0, 1, 2, 3]
    assert [row["target"] for row in rows] == NAMES
    assert set(rows[0]) == {
        *("doc_id", "doc_hash", "question", "question_sha256", "image_sha256"),
        *("target", "answer", "metrics", "shuffled"),
    }
    assert rows[0]["question"] == "Di che colore è?"
    wrong = log(folder / "gqa-it.shuffled.jsonl")
    assert [row["doc_hash"] for row in wrong] == [row["doc_hash"] for row in rows]
    assert [row["answer"] for row in wrong] != [row["answer"] for row in rows]
    assert {row["shuffled"] for row in wrong} == {True}
    assert [row["image_sha256"] for row in rows] == [image_sha256(draw_image(i)) for i in range(4)]
    # The control's lines name the images that were shown: the same ones, none in its own place.
    assert sorted(row["image_sha256"] for row in wrong) == sorted(row["image_sha256"] for row in rows)
    assert all(a["image_sha256"] != b["image_sha256"] for a, b in zip(rows, wrong, strict=True))
    assert set(log(folder / "pope-it.jsonl")[0]["metrics"]) == {
        "pope_accuracy",
        "robust",
        "first_sentence",
        "unparseable",
    }

    for task in TASKS:
        for doc_id in range(3):
            with Image.open(tmp_path / "eval" / "images" / task / f"{doc_id}.png") as image:
                assert image.size == (112, 112)
    read_model(folder)

    table = capsys.readouterr().out
    assert all(task in table for task in TASKS)
    assert "right − shuffled" in table and " ± " in table


def test_a_second_start_finds_all_done_and_a_removed_log_is_all_it_repeats(run, tmp_path, loads, capsys):
    assert run("--tasks", "gqa-it,mtvqa-it") == 0
    assert run("--tasks", "gqa-it,mtvqa-it") == 0
    assert loads == ["it"]
    assert capsys.readouterr().out.count("mtvqa-it") == 2
    folder = tmp_path / "eval" / "it"
    kept = (folder / "gqa-it.jsonl").stat().st_mtime_ns
    (folder / "mtvqa-it.jsonl").unlink()
    assert run("--tasks", "gqa-it,mtvqa-it", "--shuffle") == 0
    assert (folder / "gqa-it.jsonl").stat().st_mtime_ns == kept
    assert (folder / "mtvqa-it.jsonl").exists() and (folder / "gqa-it.shuffled.jsonl").exists()


def test_other_data_and_other_weights_are_evaluated_again(run, tmp_path, loads, tiny_model_folder):
    folder = tmp_path / "eval" / "it"
    model = tmp_path / "model"
    shutil.copytree(tiny_model_folder, model)
    ask = ("--tasks", "mtvqa-it")
    assert run(*ask, model=f"it={model}") == 0
    first = log(folder / "mtvqa-it.jsonl")
    assert run(*ask, model=f"it={model}", data=write_benchmarks(tmp_path / "more", rows=8)) == 0
    assert len(log(folder / "mtvqa-it.jsonl")) == 8
    write_tiny_model(model, seed=1)
    assert run(*ask, model=f"it={model}") == 0
    assert [row["answer"] for row in log(folder / "mtvqa-it.jsonl")] != [row["answer"] for row in first]
    assert loads == ["it"] * 3


@pytest.mark.parametrize("part", ["weights", "chat template"])
def test_a_changed_model_removes_no_result_that_is_not_made_again(
    part, run, tmp_path, loads, tiny_model_folder, capsys
):
    folder, model = tmp_path / "eval" / "it", tmp_path / "model"
    shutil.copytree(tiny_model_folder, model)
    assert run("--tasks", "pope-it,mtvqa-it", "--shuffle", model=f"it={model}") == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if part == "weights":
        write_tiny_model(tmp_path / "other", seed=1)
        shutil.copy(tmp_path / "other" / "model.safetensors", model)
    else:
        template = model / "chat_template.jinja"
        template.write_text((template.read_text() if template.exists() else "") + "{# new #}")
    capsys.readouterr()
    assert run("--tasks", "pope-it", model=f"it={model}") == 1
    said = capsys.readouterr().err
    assert f"{folder}: also holds mtvqa-it, whose results are stale: {part} (remedy: evaluate them" in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before and loads == ["it"]
    assert run("--tasks", "pope-it,mtvqa-it", model=f"it={model}") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "stale" in line]
    assert line == (
        f"ndino evaluate: {folder}: pope-it, mtvqa-it: stale and made again, since this changed: {part}"
    )
    assert {path.name for path in folder.iterdir()} == {"pope-it.jsonl", "mtvqa-it.jsonl", "results.json"}


def test_a_task_that_fails_when_made_again_keeps_its_old_log_and_shows_no_old_score(
    run, tmp_path, tiny_model_folder, monkeypatch, capsys
):
    folder, model = tmp_path / "eval" / "it", tmp_path / "model"
    shutil.copytree(tiny_model_folder, model)
    assert run("--tasks", "mtvqa-it", model=f"it={model}") == 0
    before = (folder / "mtvqa-it.jsonl").read_bytes()
    write_tiny_model(model, seed=1)

    def fail(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(evaluate.Benchmarks, "ask", fail)
    capsys.readouterr()
    assert run("--tasks", "mtvqa-it", model=f"it={model}") == 1
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "mtvqa-it" in line]
    assert row.count("–") == 7
    assert (folder / "mtvqa-it.jsonl").read_bytes() == before


def test_a_stale_result_is_made_again_and_says_what_changed(run, tmp_path, loads, monkeypatch, capsys):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", "gqa-it,mtvqa-it", "--shuffle") == 0
    assert "stale" not in capsys.readouterr().err
    found = provenance.versions
    monkeypatch.setattr(
        provenance, "versions", lambda names: {**found(names), "transformers": "99.0", "torch": "98.0"}
    )
    # A part of the folder alone would leave results of two versions side by side.
    assert run("--tasks", "gqa-it") == 1
    refused = capsys.readouterr().err
    assert "also holds mtvqa-it, whose results are stale: torch " in refused and loads == ["it"]
    assert run("--tasks", "gqa-it,mtvqa-it", "--shuffle") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "stale" in line]
    assert line.startswith(
        f"ndino evaluate: {folder}: gqa-it, mtvqa-it: stale and made again, since this changed: "
    )
    assert line.count(" → ") == 2 and line.endswith(" → 99.0")
    assert loads == ["it", "it"]
    assert results(folder)["tasks"]["gqa-it"]["depends"]["answers"]["transformers"] == "99.0"
    # Nothing that the answers do not depend on makes them stale.
    assert run("--tasks", "gqa-it,mtvqa-it", "--batch", 1) == 0
    assert loads == ["it", "it"]


def test_kept_answers_are_scored_by_todays_metrics_without_a_model(
    run, tmp_path, loads, monkeypatch, capsys, benchmark_folder
):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", "pope-it,gqa-it", "--shuffle") == 0
    before = {name: log(folder / f"pope-it{name}.jsonl") for name in ("", ".shuffled")}
    scores = results(folder)["tasks"]["pope-it"]
    rescore = ["rescore", str(folder), "--data", str(benchmark_folder)]
    # Another rule: every answer is right. The version says that scores may move.
    monkeypatch.setattr(LoadedTask, "version", 99.0)
    real = ConfigurableTask.process_results

    def lenient(self, document, answers, **more):
        return {**real(self, document, answers, **more), "robust": 1.0}

    monkeypatch.setattr(ConfigurableTask, "process_results", lenient)
    assert main(rescore) == 0
    assert "it pope-it: scored" in capsys.readouterr().out
    entry = results(folder)["tasks"]["pope-it"]
    assert entry["metrics"] == {**scores["metrics"], "robust": 1.0} and entry["version"] == 99.0
    assert entry["shuffled"] == {**scores["shuffled"], "robust": 1.0}
    for name, rows in before.items():
        again = log(folder / f"pope-it{name}.jsonl")
        assert [{**row, "metrics": 0} for row in again] == [{**row, "metrics": 0} for row in rows]
    # It is what an evaluation would find.
    assert run("--tasks", "pope-it,gqa-it", "--shuffle") == 0
    assert loads == ["it"]
    other = write_benchmarks(tmp_path / "other", rows=5)
    assert main([*rescore[:-1], str(other)]) == 1
    assert "the kept answers are to other questions, since this changed: data" in capsys.readouterr().err


def test_images_behind_a_link_or_outside_the_data_are_asked_about_again(run, tmp_path, loads, capsys):
    disk, folder = tmp_path / "disk", tmp_path / "data" / "swap-uniba" / "MTVQA_IT"
    for place in (disk / "linked", disk / "elsewhere", folder):
        place.mkdir(parents=True)
    (folder / "images").symlink_to(disk / "linked")
    shown = [disk / "linked" / "0.png", disk / "elsewhere" / "1.png"]
    for number, path in enumerate(shown):
        draw_image(number).save(path)
    rows = [
        {"image": name, "question": "Di che colore è?", "answer": "rosso"}
        for name in ("images/0.png", str(shown[1]))
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def ask() -> list[str]:
        assert run("--tasks", "mtvqa-it", data=tmp_path / "data") == 0
        return [row["image_sha256"] for row in log(tmp_path / "eval" / "it" / "mtvqa-it.jsonl")]

    before = ask()
    assert before == [image_sha256(draw_image(0)), image_sha256(draw_image(1))]
    for number, path in enumerate(shown):
        capsys.readouterr()
        draw_image(number + 2).save(path)
        after = ask()
        assert after[number] == image_sha256(draw_image(number + 2)) != before[number]
        assert "stale and made again, since this changed: data" in capsys.readouterr().err
    assert loads == ["it"] * 3


def test_a_limited_run_asks_the_first_questions_and_replaces_no_whole_one(run, tmp_path, capsys):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", "mtvqa-it", "--limit", 2) == 0
    first = log(folder / "mtvqa-it.jsonl")
    assert results(folder)["tasks"]["mtvqa-it"]["n"] == len(first) == 2
    assert run("--tasks", "mtvqa-it") == 0
    assert log(folder / "mtvqa-it.jsonl")[:2] == first
    assert run("--tasks", "mtvqa-it", "--limit", 2) == 2
    assert "holds 4 answers to mtvqa-it, which --limit 2 would replace" in capsys.readouterr().err
    assert len(log(folder / "mtvqa-it.jsonl")) == 4


def test_a_groups_total_is_kept_beside_its_tasks(run, tmp_path, capsys):
    assert run("--tasks", "pope_full-it") == 0
    found = results(tmp_path / "eval" / "it")
    parts = [found["tasks"][f"pope_{part}-it"]["metrics"]["robust"] for part in ("adv", "pop", "random")]
    assert found["groups"]["pope_full-it"]["robust"] == pytest.approx(sum(parts) / 3)
    assert "pope_full-it" in capsys.readouterr().out


def test_any_model_of_lmms_eval_answers_the_same(run, tmp_path):
    ask = ("--tasks", "gqa-it", "--shuffle")
    assert run(*ask) == 0
    theirs = ("--backend", "lmms:llava_hf,device=cpu,device_map=cpu", "--batch", 1)
    assert run(*ask, *theirs, "--name", "ref") == 0
    for name in ("gqa-it.jsonl", "gqa-it.shuffled.jsonl"):
        assert log(tmp_path / "eval" / "ref" / name) == log(tmp_path / "eval" / "it" / name)


def test_what_is_missing_is_named_before_anything_is_loaded(
    run, tmp_path, capsys, loads, benchmark_folder, tiny_model_folder
):
    empty = tmp_path / "empty"
    empty.mkdir()
    gap = tmp_path / "gap"
    shutil.copytree(benchmark_folder, gap)
    shutil.rmtree(gap / "lmms-lab")
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model_folder, bare)
    (bare / "tokenizer.json").unlink()
    (bare / "tokenizer_config.json").unlink()
    torn = tmp_path / "torn"
    shutil.copytree(tiny_model_folder, torn)
    os.truncate(torn / "model.safetensors", 99_999)
    taken = tmp_path / "taken"
    taken.touch()
    for status, message, arguments, changed in [
        (1, "taken/it: cannot be written: ", ["--out", taken], {}),
        (2, "'../it' is no name for a folder", ["--name", "../it"], {}),
        (1, f"{bare}: has no tokenizer", [], {"model": bare}),
        (1, f"{torn}: model.safetensors is broken", [], {"model": torn}),
        (2, "no such model folder", [], {"model": tmp_path / "nowhere"}),
        (2, "nowhere: no such folder", [], {"data": tmp_path / "nowhere"}),
        (1, "has no crux82/gqa-it/ for the task gqa-it", [], {"data": empty}),
        (1, "has no lmms-lab/GQA/ for the task gqa-it", [], {"data": gap}),
        (2, "task gqa-it: crux82/gqa-it is not on the hub", ["--tasks", "mtvqa-it,gqa-it"], {"data": None}),
        (2, "unknown task 'pope-itt' (remedy: pope-it", ["--tasks", "gqa-it,pope-itt"], {}),
        (2, "unknown backend 'gpu'", ["--backend", "gpu"], {}),
        (2, "two models are called it", ["--model", f"it={tiny_model_folder}"], {}),
        (2, "--name goes with a single --model", ["--model", f"b={tiny_model_folder}", "--name", "c"], {}),
    ]:
        assert run(*arguments, **changed) == status, message
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1
    assert loads == []


def test_data_that_cannot_be_read_is_named(run, tmp_path, capsys, benchmark_folder, monkeypatch):
    from lmms_eval.api.task import ConfigurableTask

    # It is not tried again: the file stays what it is.
    monkeypatch.setattr(ConfigurableTask.download.retry, "sleep", lambda _: pytest.fail("tried again"))
    data = tmp_path / "data"
    shutil.copytree(benchmark_folder, data)
    (data / "swap-uniba" / "MTVQA_IT" / "test.parquet").write_bytes(b"PAR1 but no more")
    assert run("--tasks", "mtvqa-it", data=data) == 1
    assert "task mtvqa-it: " in capsys.readouterr().err


def test_a_broken_model_fails_alone_in_one_line(run, tmp_path, capfd, tiny_model_folder):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model_folder, broken)
    config = json.loads((broken / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] += 1
    (broken / "config.json").write_text(json.dumps(config))
    good = f"good={tiny_model_folder}"
    assert run("--tasks", "mtvqa-it", "--model", good, model=f"broken={broken}") == 1
    captured = capfd.readouterr()
    assert captured.err.count("ndino evaluate: broken: cannot be loaded:") == 1
    assert "9 weights are missing, model.language_model.layers.2" in captured.err
    assert "Traceback" not in captured.err
    assert (tmp_path / "eval" / "good" / "mtvqa-it.jsonl").exists()
    assert not (tmp_path / "eval" / "broken").exists()
    assert "broken" in captured.out


def test_a_task_that_fails_leaves_the_others(run, tmp_path, capsys, monkeypatch):
    ask = evaluate.Benchmarks.ask

    def fail_on_gqa(self, model, name, *, shuffled, right):
        if name == "gqa-it":
            raise RuntimeError("gqa-it document 7: its image cannot be read")
        return ask(self, model, name, shuffled=shuffled, right=right)

    monkeypatch.setattr(evaluate.Benchmarks, "ask", fail_on_gqa)
    assert run("--tasks", "gqa-it,mtvqa-it") == 1
    assert "it: gqa-it failed: gqa-it document 7: its image cannot be read" in capsys.readouterr().err
    assert set(results(tmp_path / "eval" / "it")["tasks"]) == {"mtvqa-it"}


@pytest.mark.parametrize("backend", ["hf", "lmms:llava_hf"])
def test_the_reading_of_images_is_shown(run, capfd, monkeypatch, backend):
    monkeypatch.setattr("ndino.evaluation.progress.DELAY_SECONDS", 0)
    assert run("--tasks", "mtvqa-it", "--backend", backend, "--batch", 1) == 0
    assert "Reading images: " in capfd.readouterr().err


def test_a_stopped_run_says_how_to_resume(run, monkeypatch, capsys):
    def stop(self, model, name, *, shuffled, right):
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


# The command, with a note of each batch before its answers are kept.
NOTED = """
import sys, time
from lmms_eval.models.simple.llava_next_it import LlavaNextIt
from tests.commands import evaluate as main
answer = LlavaNextIt._answer
def noted(self, batch, visuals):
    new = answer(self, batch, visuals)
    with open(sys.argv[1], "a") as notes:
        notes.write(f"{len(new)}\\n")
    time.sleep(0.1)
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
    assert run("--tasks", "pope-it") == 0
    where = ["--data", benchmark_folder, "--out", tmp_path / "two", "--tasks", "pope-it"]
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
    kept = []
    for path in (tmp_path / "two" / ".cache" / "answers").glob("*/*.sqlite"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            kept += database.execute("SELECT count(*) FROM answers").fetchone()
    # Four images: a process has all questions about one of them, equal ones once.
    assert len(kept) == 2 and sum(kept) == 4 and min(kept) > 0


def test_any_model_of_lmms_eval_on_local_data(run, tmp_path, capsys, monkeypatch):
    ask = ("--tasks", "mtvqa-it", "--backend", "lmms:llava_hf", "--batch", 1, "--shuffle")
    assert run(*ask) == 0
    folder = tmp_path / "eval" / "it"
    right, wrong = log(folder / "mtvqa-it.jsonl"), log(folder / "mtvqa-it.shuffled.jsonl")
    assert [row["answer"] for row in right] != [row["answer"] for row in wrong]

    (folder / "results.json").unlink()

    def out_of_memory(self, **given):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(LlavaNextForConditionalGeneration, "generate", out_of_memory)
    assert run(*ask) == 0
    assert log(folder / "mtvqa-it.jsonl") == right

    capsys.readouterr()
    assert run("--tasks", "exams-v-it", "--backend", "lmms:llava_hf", "--batch", 1) == 1
    assert "it: exams-v-it failed: 4 of 4 answers are empty: Error out of memory" in capsys.readouterr().err
    assert not (folder / "exams-v-it.jsonl").exists()


def test_a_batch_that_a_model_does_not_take_is_one_line(run, capfd):
    assert run("--tasks", "mtvqa-it", "--backend", "lmms:llava_hf", "--batch", 2) == 1
    errors = capfd.readouterr().err
    assert "it: mtvqa-it failed: Do not support batch_size_per_gpu > 1" in errors
    assert "Traceback" not in errors
