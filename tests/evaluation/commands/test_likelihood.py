"""Tasks with ``scoring: likelihood``: their logs, what is kept of them, and who can be asked them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from lmms_eval.api.task import ConfigurableTask
from lmms_eval.models.simple.llava_next_it import LlavaNextIt

from ndino.cli import main
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.lmms_eval_adapter.task_index import TaskIndex
from tests.evaluation.commands.results import log, results
from tests.formats.questions.layouts import encoded

TASK = "seedbench_likelihood-it"
LOGS = (f"{TASK}.jsonl", f"{TASK}.shuffled.jsonl", f"{TASK}.blank.jsonl")


def test_the_likeliest_letter_answers_and_the_log_has_all_of_them(run, tmp_path, loads):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", TASK, "--shuffle", "--blank") == 0
    made = {name: log(folder / name) for name in LOGS}
    for rows in made.values():
        for row in rows:
            assert [*row["letters"]] == [*"ABCD"]
            assert row["answer"] == max(row["letters"], key=row["letters"].__getitem__)
            right = float(row["answer"] == row["target"])
            assert row["metrics"] == {"seed_image": right, "robust": right, "unparseable": 0.0}
    # The image was looked at: with another one, no letter is as likely.
    right, shuffled, blank = ([row["letters"]["A"] for row in made[name]] for name in LOGS)
    assert all(len({*values}) == 3 for values in zip(right, shuffled, blank, strict=True))
    generation = results(folder)["tasks"][TASK]["depends"]["task"]["generation"]
    assert generation["letters"] == "ABCD"
    assert run("--tasks", TASK, "--shuffle", "--blank") == 0 and loads == ["it"]


def test_kept_answers_and_rescored_ones_have_their_letters(
    run, tmp_path, loads, monkeypatch, benchmark_folder
):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", TASK, "--shuffle") == 0
    before = {name: log(folder / name) for name in LOGS[:2]}
    shutil.rmtree(folder)
    # All answers are in the store.
    monkeypatch.setattr(LlavaNextIt, "_answer", lambda *_: pytest.fail("was asked again"))
    assert run("--tasks", TASK, "--shuffle") == 0 and loads == ["it", "it"]
    assert {name: log(folder / name) for name in LOGS[:2]} == before
    score = ConfigurableTask.process_results
    monkeypatch.setattr(LoadedTask, "version", 99.0)
    monkeypatch.setattr(
        ConfigurableTask, "process_results", lambda *given, **more: {**score(*given, **more), "robust": 1.0}
    )
    assert main(["rescore", str(folder), "--data", str(benchmark_folder)]) == 0
    for name, rows in before.items():
        scored = [{**row, "metrics": {**row["metrics"], "robust": 1.0}} for row in rows]
        assert log(folder / name) == scored


def write_rows(folder: Path, *choices: list[str]) -> Path:
    place = folder / "swap-uniba" / "SEED-Bench_IT"
    place.mkdir(parents=True)
    (place / "a.png").write_bytes(encoded(0))
    rows = [
        {
            **{"image": "a.png", "question": "Che cos'è?", "answer": "A"},
            **{f"choice_{letter}": text for letter, text in zip("abcd", texts, strict=True)},
        }
        for texts in choices
    ]
    (place / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_options_without_a_text_do_not_compete(run, tmp_path):
    data = write_rows(
        tmp_path / "data",
        ["sì", "no", "", " "],
        ["uno", "due", "tre", ""],
        ["", "", "", ""],
        ["a", "b", "c", "d"],
    )
    assert run("--tasks", TASK, data=data) == 0
    offered = ["".join(row["letters"]) for row in log(tmp_path / "eval" / "it" / f"{TASK}.jsonl")]
    # Where none has a text, the options are in the image.
    assert offered == ["AB", "ABC", "ABCD", "ABCD"]


def test_a_backend_that_does_not_tell_likelihoods_is_refused_before_anything_is_loaded(
    run, tmp_path, loads, capsys
):
    for name, chosen in (
        ("llava_hf", ["--backend", "lmms:llava_hf"]),
        ("mblip", ["--backend", "lmms:mblip"]),
        ("endpoint", ["--endpoint", "http://127.0.0.1:9/v1"]),
    ):
        assert run("--tasks", f"seedbench-it,{TASK}", *chosen) == 2
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"ndino evaluate: {TASK}: scored by the likelihood of letters, which {name} does not report "
            "(remedy: --backend hf, or the task of that name without _likelihood)"
        )
    assert not loads and not (tmp_path / "eval" / "it" / "results.json").exists()


def test_a_yaml_with_half_of_it_is_refused(run, monkeypatch, capsys):
    monkeypatch.setattr(TaskIndex, "metadata", lambda self, name: {})
    assert run("--tasks", TASK) == 1
    assert (
        f"task {TASK}: its YAML has only one of metadata scoring: likelihood and" in capsys.readouterr().err
    )
