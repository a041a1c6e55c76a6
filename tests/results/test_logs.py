"""What a run folder may hold, and every kind of input that must be refused with its place and reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ndino.results.logs import ResultsError, check_comparable, read_model, read_run, read_samples
from tests.properties import examples
from tests.results.synthetic import sample, write_rows, write_task


def test_a_run_is_read_whole(small_run):
    run = read_run(small_run)
    assert list(run.models) == ["IT", "PT+IT"]
    gqa = run.models["PT+IT"].tasks["gqa-it"]
    assert (gqa.primary, sum(gqa.scores()), sum(gqa.shuffled_scores())) == ("exact_match", 17, 0)
    assert run.models["PT+IT"].tasks["ok-vqa-it"].shuffled_scores() is None
    log = run.perplexity["IT"]["llava-bench-it"]
    assert (log.paper, log.outliers, log.n, log.shuffled) == (None, 3, 3, 9000.0)
    assert [training.chain for training in run.training] == ["mlp", "mlp-it"]
    assert run.training[1].loss_curve == ((10, 2.0), (20, 0.5))
    assert dict(run.seconds) == {"tower": 40.0, "mlp": 20.25}
    assert run.peak_rss_mb == 1100.5


def test_samples_come_sorted_by_document(tmp_path):
    path = tmp_path / "t.jsonl"
    write_rows(path, [sample(5, 1), sample(2, 0, target=["a", "b"])])
    assert [(s.doc_id, s.target) for s in read_samples(path)] == [(2, ("a", "b")), (5, "rosso")]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"doc_id": 0}, "row 2: document 0 appears twice"),
        ({"doc_id": "1"}, "row 2: field 'doc_id' must be int, found '1'"),
        ({"doc_id": True}, "row 2: field 'doc_id' must be int, found True"),
        ({"answer": None}, "row 2: field 'answer' must be str"),
        ({"metrics": {"exact_match": float("nan")}}, "row 2: field 'exact_match' is nan"),
        ({"metrics": {"exact_match": "1"}}, "row 2: field 'exact_match' must be int or float"),
        ({"shuffled": True}, "row 2: row has shuffled = True, but this is the log for right images"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, change, reason):
    path = tmp_path / "gqa-it.jsonl"
    write_rows(path, [sample(0, 1), sample(1, 1) | change])
    with pytest.raises(ResultsError) as refused:
        read_samples(path)
    assert str(refused.value).startswith(f"{path} {reason}")
    assert "\n" not in str(refused.value)


def test_a_torn_line_is_named(tmp_path):
    path = tmp_path / "gqa-it.jsonl"
    write_rows(path, [sample(0, 1)])
    path.write_bytes(path.read_bytes() + b'{"doc_id": 1, "ans')
    with pytest.raises(ResultsError, match=r"gqa-it\.jsonl row 2: broken line"):
        read_samples(path)


def test_an_empty_log_is_refused(tmp_path):
    (tmp_path / "t.jsonl").touch()
    with pytest.raises(ResultsError, match="no samples"):
        read_samples(tmp_path / "t.jsonl")


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=st.binary(max_size=80))
def test_any_bytes_are_either_read_or_refused_with_their_row(tmp_path, line):
    path = tmp_path / "t.jsonl"
    path.write_bytes(json.dumps(sample(0, 1)).encode() + b"\n" + line.replace(b"\n", b"") + b"\n")
    with pytest.raises(ResultsError, match="row 2"):
        read_samples(path)


@given(answer=st.text())
@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_answer_comes_back_unchanged(tmp_path, answer):
    path = tmp_path / "t.jsonl"
    write_rows(path, [sample(0, 1, answer=answer)])
    assert read_samples(path)[0].answer == answer


def refused(run: Path) -> str:
    with pytest.raises(ResultsError) as error:
        read_run(run)
    assert "\n" not in str(error.value)
    return str(error.value)


def rewrite(path: Path, change) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows)
    write_rows(path, rows)


def test_other_documents_are_refused(small_run):
    log = small_run / "eval" / "PT+IT" / "mtvqa-it.jsonl"
    rewrite(log, lambda rows: rows[39].update(doc_id=77))
    rewrite(log.with_name("mtvqa-it.shuffled.jsonl"), lambda rows: rows[39].update(doc_id=77))
    message = refused(small_run)
    assert message.startswith(f"{log}: not the same documents as IT: 1 only here [77], 1 only there [39]")


def test_a_limited_evaluation_is_refused_for_its_documents_and_not_for_their_majority(small_run):
    folder = small_run / "eval" / "PT+IT"
    for name in ("mtvqa-it.jsonl", "mtvqa-it.shuffled.jsonl"):
        rewrite(folder / name, lambda rows: rows.pop())
    rows = [json.loads(line) for line in (folder / "mtvqa-it.jsonl").read_text().splitlines()]
    scores = {
        metric: sum(row["metrics"][metric] for row in rows) / len(rows) for metric in rows[0]["metrics"]
    }
    shown = [json.loads(line) for line in (folder / "mtvqa-it.shuffled.jsonl").read_text().splitlines()]
    shuffled = {
        metric: sum(row["metrics"][metric] for row in shown) / len(shown) for metric in shown[0]["metrics"]
    }
    changed = {"n": len(rows), "metrics": scores, "shuffled": shuffled, "majority": {"exact_match": 0.9}}
    change_results(small_run, "PT+IT", lambda tasks: tasks["mtvqa-it"].update(changed))
    assert "not the same documents as IT: 0 only here [], 1 only there [39]" in refused(small_run)


@pytest.mark.parametrize("field, value", [("doc_hash", "other"), ("target", "verde")])
def test_changed_data_is_refused(small_run, field, value):
    for name in ("mtvqa-it.jsonl", "mtvqa-it.shuffled.jsonl"):
        rewrite(small_run / "eval" / "PT+IT" / name, lambda rows: rows[4].update({field: value}))
    assert f"document 4 has a different {field} than in IT" in refused(small_run)


def test_a_control_of_other_documents_is_refused(small_run):
    rewrite(small_run / "eval" / "IT" / "gqa-it.shuffled.jsonl", lambda rows: rows.pop())
    assert "gqa-it.shuffled.jsonl: not the same documents as gqa-it.jsonl" in refused(small_run)


def change_results(run: Path, model: str, change) -> None:
    path = run / "eval" / model / "results.json"
    results = json.loads(path.read_text())
    change(results["tasks"])
    path.write_text(json.dumps(results))


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda tasks: tasks["gqa-it"].update(version=2), "version of task gqa-it is 2 here and 1 for IT"),
        (lambda tasks: tasks["gqa-it"].update(n=41), "40 samples, results.json says 41"),
        (lambda tasks: tasks["gqa-it"].update(metrics={"exact_match": 0.5}), "mean exact_match is 0.4250"),
        (lambda tasks: tasks["gqa-it"].update(shuffled={"exact_match": 0.5}), "mean exact_match is 0.0000"),
        (lambda tasks: tasks["gqa-it"].update(metrics={}), "task gqa-it has no metric"),
        (lambda tasks: tasks["gqa-it"].update(majority={"exact_match": 0.9}), "majority of task gqa-it"),
        (lambda tasks: tasks.update({"new-it": tasks["gqa-it"]}), "new-it.jsonl: file is missing"),
    ],
)
def test_results_that_contradict_the_logs_are_refused(small_run, change, reason):
    change_results(small_run, "PT+IT", change)
    assert reason in refused(small_run)


def test_a_score_beyond_one_is_refused(small_run):
    write_task(small_run / "eval" / "IT", "count-it", [57.0])
    assert "document 0 has exact_match = 57.0, not a score from 0 to 1" in refused(small_run)


def test_an_unfinished_model_does_not_block_the_others(small_run):
    (small_run / "eval" / "IT" / "results.json").unlink()
    run = read_run(small_run)
    assert list(run.models) == ["PT+IT"]
    assert run.notes == ("IT: the evaluation is unfinished and left out; rerun it to finish it.",)
    (small_run / "eval" / "IT" / "results.json").write_text('{"tasks": {}}')
    assert len(read_run(small_run).notes) == 3 and "IT: gqa-it is unfinished" in read_run(small_run).notes[0]
    for path in (small_run / "eval" / "IT").glob("*.jsonl"):
        path.unlink()
    assert list(read_run(small_run).models) == ["PT+IT"] and len(read_run(small_run).notes) == 1


def test_an_unfinished_task_or_control_is_left_out_and_named(small_run):
    change_results(small_run, "PT+IT", lambda tasks: tasks.pop("gqa-it"))
    change_results(small_run, "PT+IT", lambda tasks: tasks["mtvqa-it"].update(shuffled={}))
    run = read_run(small_run)
    assert sorted(run.models["PT+IT"].tasks) == ["mtvqa-it", "ok-vqa-it"]
    assert run.models["PT+IT"].tasks["mtvqa-it"].shuffled == ()
    first, second = run.notes
    assert first.startswith("PT+IT: gqa-it is unfinished and left out")
    assert "mtvqa-it.shuffled.jsonl is unfinished and left out" in second


def test_only_unfinished_models_are_refused(small_run):
    for path in small_run.glob("eval/*/results.json"):
        path.unlink()
    assert "no evaluated model (eval/MODEL/results.json) IT: the evaluation is unfinished" in refused(
        small_run
    )


def test_a_run_without_models_is_refused(tmp_path):
    assert "no evaluated model" in refused(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ResultsError, match="evaluation folder not found"):
        read_model(tmp_path / "nowhere")


def test_models_without_a_common_task_are_comparable(tmp_path):
    for name, task in (("A", "gqa-it"), ("B", "pope-it")):
        (tmp_path / name).mkdir()
        write_task(tmp_path / name, task, [1, 0])
    check_comparable([read_model(tmp_path / "A"), read_model(tmp_path / "B")])


def test_results_of_two_versions_in_one_file_are_refused(small_run):
    path = small_run / "eval" / "IT" / "results.json"
    content = json.loads(path.read_text())
    tasks = sorted(content["tasks"])
    assert len(tasks) > 2

    def state(**versions: str) -> None:
        for task, entry in content["tasks"].items():
            answers = {"device": "cpu", "transformers": versions.get(task.partition("-")[0], "5.0")}
            entry["depends"] = {"answers": answers, "task": {"data": task}}
        path.write_text(json.dumps(content))

    state()
    assert read_run(small_run).models["IT"]
    state(**{tasks[1].partition("-")[0]: "5.1"})
    assert f"{tasks[1]} and {tasks[0]} were not made alike: they differ in transformers" in refused(small_run)
    del content["tasks"][tasks[0]]["depends"]
    state_of_rest = {task: entry for task, entry in content["tasks"].items() if task != tasks[1]}
    path.write_text(json.dumps(content | {"tasks": state_of_rest}))
    assert "were not made alike: they differ in device, transformers" in refused(small_run)


def test_broken_perplexity_is_refused(small_run):
    folder = small_run / "ppl" / "PT+IT"
    rows = (folder / "llava-bench-it.jsonl").read_text()
    (folder / "llava-bench-it.jsonl").write_text(rows + rows.splitlines()[0] + "\n")
    assert "llava-bench-it.jsonl row 4: id q0 appears twice" in refused(small_run)


def test_perplexity_of_other_answers_is_refused(small_run):
    rewrite(small_run / "ppl" / "PT+IT" / "llava-bench-it.jsonl", lambda rows: rows.pop())
    assert "llava-bench-it.json: not the same answers as IT: 1 differ, e.g. q2" in refused(small_run)


@pytest.mark.parametrize("interval", [[1.0], ["a", 2], 3])
def test_a_broken_perplexity_interval_is_refused(small_run, interval):
    path = small_run / "ppl" / "IT" / "llava-bench-it.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"interval": interval}))
    assert str(path) in refused(small_run)


@pytest.mark.parametrize("curve", [3, [[1]], [["a", 1]], [[1, None]]])
def test_a_broken_loss_curve_is_refused(small_run, curve):
    path = small_run / "mlp" / "manifest.json"
    path.write_text(json.dumps({"loss_curve": curve}))
    assert "manifest.json: loss_curve must be a list of [step, loss]" in refused(small_run)


def test_a_diverged_training_is_refused(small_run):
    path = small_run / "mlp" / "manifest.json"
    path.write_text(json.dumps({"loss_curve": [[1, 2.0], [2, float("nan")]]}))
    assert "manifest.json: the loss at step 2 is nan" in refused(small_run)
