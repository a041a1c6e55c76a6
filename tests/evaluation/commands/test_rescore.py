from __future__ import annotations

import json

from lmms_eval.api.task import ConfigurableTask

from ndino.cli import main
from ndino.common.files import write_json
from ndino.common.images import READING_VERSION
from ndino.evaluation import benchmarks
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from tests.evaluation.benchmarks import write_benchmarks
from tests.evaluation.commands.results import log, results

REAL = ConfigurableTask.process_results


def lenient(self, document, answers, **more):
    """Another rule of scoring: every answer is right."""
    return {**REAL(self, document, answers, **more), "robust": 1.0}


def test_kept_answers_are_scored_by_todays_metrics_without_a_model(
    run, tmp_path, loads, monkeypatch, capsys, benchmark_folder
):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", "pope-it,gqa-it", "--shuffle", 2, "--blank") == 0
    names = ("", ".shuffled", ".shuffled-2", ".blank")
    before = {name: log(folder / f"pope-it{name}.jsonl") for name in names}
    scores = results(folder)["tasks"]["pope-it"]
    rescore = ["rescore", str(folder), "--data", str(benchmark_folder)]
    # The version says that scores may move.
    monkeypatch.setattr(LoadedTask, "version", 99.0)
    monkeypatch.setattr(ConfigurableTask, "process_results", lenient)
    assert main(rescore) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "it: 2 of 2 tasks scored"
    entry = results(folder)["tasks"]["pope-it"]
    assert entry["metrics"] == {**scores["metrics"], "robust": 1.0} and entry["version"] == 99.0
    assert entry["shuffled"] == {**scores["shuffled"], "robust": 1.0}
    assert entry["controls"] == {
        name: {**scores["controls"][name], "robust": 1.0} for name in ("shuffled-2", "blank")
    }
    for name, rows in before.items():
        again = log(folder / f"pope-it{name}.jsonl")
        assert [{**row, "metrics": 0} for row in again] == [{**row, "metrics": 0} for row in rows]
    # It is what an evaluation would find.
    assert run("--tasks", "pope-it,gqa-it", "--shuffle", 2, "--blank") == 0
    assert loads == ["it"]
    other = write_benchmarks(tmp_path / "other", rows=5)
    assert main([*rescore[:-1], str(other)]) == 1
    lines = [each for each in capsys.readouterr().err.splitlines() if "ndino rescore" in each]
    why = "the kept answers are to other questions, since this changed: data "
    assert [line.partition(why)[::2] for line in lines] == [
        (
            f"ndino rescore: {folder}: {task}: ",
            f"({changed}), prompts (remedy: ndino evaluate asks them again)",
        )
        for task, changed in (
            ("pope-it", "other questions or right answers: documents 5, 8, …"),
            ("gqa-it", "nothing that was asked"),
        )
    ]


def test_a_groups_total_follows_its_tasks(run, tmp_path, loads, monkeypatch, benchmark_folder):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", "pope_full-it") == 0
    before = results(folder)["groups"]["pope_full-it"]
    assert before["robust"] < 1
    monkeypatch.setattr(LoadedTask, "version", 99.0)
    monkeypatch.setattr(ConfigurableTask, "process_results", lenient)
    assert main(["rescore", str(folder), "--data", str(benchmark_folder)]) == 0
    assert results(folder)["groups"]["pope_full-it"] == {**before, "robust": 1.0}
    # One part alone is scored by another rule: the total over all three is gone.
    monkeypatch.setattr(LoadedTask, "version", 100.0)
    monkeypatch.setattr(ConfigurableTask, "process_results", REAL)
    assert run("--tasks", "pope_adv-it") == 0
    assert results(folder)["groups"] == {} and loads == ["it", "it"]


def test_answers_to_images_that_open_differently_now_are_asked_again(
    run, tmp_path, monkeypatch, capsys, benchmark_folder
):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", "pope-it") == 0
    monkeypatch.setattr(benchmarks, "READING_VERSION", 99)
    assert main(["rescore", str(folder), "--data", str(benchmark_folder)]) == 1
    changed = f"since this changed: images {READING_VERSION} → 99"
    assert f"the kept answers are to other questions, {changed}" in capsys.readouterr().err
    assert run("--tasks", "pope-it") == 0
    assert f"pope-it: stale and made again, {changed}" in capsys.readouterr().err
    assert results(folder)["tasks"]["pope-it"]["depends"]["task"]["images"] == 99


def test_kept_long_answers_are_told_their_language(run, tmp_path, benchmark_folder):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", "llava-bench-it") == 0
    made, rows = results(folder), log(folder / "llava-bench-it.jsonl")
    entry = made["tasks"]["llava-bench-it"]
    shares = {name for name in entry["metrics"] if "language" in name or name == "in_english"}
    assert len(shares) == 4 and sum(entry["metrics"][name] for name in shares) == 1
    # As an earlier version left them.
    older = json.loads(json.dumps(entry))
    for part in ("metrics", "errors", "majority"):
        older[part] = {name: value for name, value in entry[part].items() if name not in shares}
    older["depends"]["task"]["definition"] = "without them"
    write_json(folder / "results.json", {**made, "tasks": {"llava-bench-it": older}})
    kept = [{**row, "metrics": {"chrf": row["metrics"]["chrf"], "unparseable": 0.0}} for row in rows]
    (folder / "llava-bench-it.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in kept))
    assert main(["rescore", str(folder), "--data", str(benchmark_folder)]) == 0
    assert results(folder)["tasks"]["llava-bench-it"] == entry
    assert log(folder / "llava-bench-it.jsonl") == rows
