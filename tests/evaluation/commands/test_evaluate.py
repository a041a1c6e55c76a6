from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import version

import pytest
from lmms_eval.api.task import ConfigurableTask
from lmms_eval.models.simple.llava_next_it import VERSION
from PIL import Image
from transformers import LlavaNextForConditionalGeneration

from ndino.common.images import image_sha256
from ndino.common.provenance import commit
from ndino.evaluation.commands import evaluate
from ndino.results.logs import read_model
from tests.evaluation.benchmarks import NAMES, draw_image
from tests.evaluation.commands.results import log, results

TASKS = ["gqa-it", "ok-vqa-it", "seedbench-it", "mtvqa-it", "exams-v-it", "pope-it", "llava-bench-it"]


def test_logs_results_images_and_table(run, tmp_path, capsys, tiny_model_folder):
    assert run("--shuffle") == 0
    folder = tmp_path / "eval" / "it"
    expected = {f"{task}{kind}.jsonl" for task in TASKS for kind in ("", ".shuffled")} | {"results.json"}
    assert {path.name for path in folder.iterdir()} == expected

    found = results(folder)
    assert found["model"] == "it" and found["source"] == str(tiny_model_folder) and found["fingerprint"]
    assert set(found["tasks"]) == set(TASKS)
    pope = found["tasks"]["pope-it"]
    assert (pope["version"], pope["n"]) == (3.0, 12)
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
    hollow = tmp_path / "hollow"
    shutil.copytree(gap, hollow)
    shutil.rmtree(hollow / "crux82" / "gqa-it", ignore_errors=True)
    (hollow / "crux82" / "gqa-it").mkdir(parents=True)
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
        (1, "holds an empty folder crux82/gqa-it/ for the task gqa-it (", [], {"data": hollow}),
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

    def fail_on_gqa(self, model, name, control, *, right):
        if name == "gqa-it":
            raise RuntimeError("gqa-it document 7: its image cannot be read")
        return ask(self, model, name, control, right=right)

    monkeypatch.setattr(evaluate.Benchmarks, "ask", fail_on_gqa)
    assert run("--tasks", "gqa-it,mtvqa-it") == 1
    assert "it: gqa-it failed: gqa-it document 7: its image cannot be read" in capsys.readouterr().err
    assert set(results(tmp_path / "eval" / "it")["tasks"]) == {"mtvqa-it"}


@pytest.mark.parametrize("backend", ["hf", "lmms:llava_hf"])
def test_the_reading_of_images_is_shown(run, capfd, monkeypatch, backend):
    monkeypatch.setattr("ndino.evaluation.progress.DELAY_SECONDS", 0)
    assert run("--tasks", "mtvqa-it", "--backend", backend, "--batch", 1) == 0
    assert "Reading images: " in capfd.readouterr().err


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
