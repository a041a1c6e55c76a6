"""Sample logs of lmms-eval, written by lmms-eval itself, and of lm-evaluation-harness."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from ndino.cli import main
from ndino.results.logs import ResultsError, read_foreign, sample_logs
from ndino.results.logs.directions import is_lower_better
from tests.commands import refused
from tests.results.synthetic import write_rows

pytestmark = pytest.mark.usefixtures("wide_terminal")


def from_lmms_eval(folder: Path, model: str, scores: list[float], images: list[str | None]) -> Path:
    """Have lmms-eval write a log as after a run."""
    from lmms_eval.loggers.evaluation_tracker import EvaluationTracker

    writer = EvaluationTracker(output_path=str(folder))
    writer.general_config_tracker.model_name_sanitized = model
    writer.date_id = "20261128_090000"
    samples = [
        {
            "doc_id": n,
            "doc": {"question": f"q{n}"},
            "target": "sì",
            "arguments": ["C'è un gatto?", {}],
            "resps": [["sì"]],
            "filtered_resps": ["sì"],
            "doc_hash": "alike for all",
            **({"input_media": [image]} if image else {}),
            "pope_accuracy": {"question_id": n, "score": score, "prediction": "sì", "ground_truth": "sì"},
            "submission": {"id": n},
            "perplexity": 12.5,
        }
        for n, (score, image) in enumerate(zip(scores, images, strict=True))
    ]
    writer.save_results_samples("pope", samples)
    return folder / model


def from_harness(path: Path, scores: list[float], **fields) -> Path:
    write_rows(
        path,
        [
            {
                "doc_id": n,
                "doc": {"question": f"q{n}", "image_id": n // 10, "group": {"name": f"g{n // 5}"}},
                "target": "0",
                "arguments": {"gen_args_0": {"arg_0": "<|user|>q"}},
                "resps": [[["0"]]],
                "filtered_resps": ["0"],
                "filter": "none",
                "metrics": ["perplexity", "acc", "acc_norm"],
                "doc_hash": f"hash {n}",
                "perplexity": 7.5,
                "acc": score,
                "acc_norm": 1 - score,
            }
            | fields
            for n, score in enumerate(scores)
        ],
    )
    return path


def compared(capsys, *arguments) -> str:
    assert main(["compare", *map(str, arguments)]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_logs_of_lmms_eval_are_compared_by_image(tmp_path, capsys):
    images: list[str | None] = [f"image{n // 10}.png" for n in range(100)]
    a = from_lmms_eval(tmp_path, "org__A", [float(n < 60) for n in range(100)], images)
    b = from_lmms_eval(tmp_path, "org__B", [0.0] * 100, images)
    shown = compared(capsys, a, b)
    assert "POPE ↑" in shown and "accuracy, n = 100 about 10 images, majority unknown" in shown
    # Six images of ten for A alone: 2 of 64 patterns, by half; rows alone would say p < 0.001.
    assert "org__A vs org__B" in shown and "* org__A is better" in shown
    assert "p = 0.016" in shown and "paper: p < 0.001, chi-square" in shown
    assert "Note: pope: rows with the same input_media are taken to be about the same image." in shown


def test_logs_that_name_no_image_say_so(tmp_path, capsys):
    logs = [from_lmms_eval(tmp_path, name, [1.0, 0.0] * 20, [None] * 40) for name in ("A", "B")]
    assert "The logs of A, B do not name their images (pope)" in compared(capsys, *logs)


def test_logs_of_the_harness_are_compared_by_a_field(tmp_path, capsys):
    paths = [
        from_harness(tmp_path / name / "samples_arc_it_2026-11-28T09-00-00.123456.jsonl", scores)
        for name, scores in (("a", [float(n < 40) for n in range(80)]), ("b", [0.0] * 80))
    ]
    shown = compared(capsys, *paths)
    assert "ARC_IT ↑" in shown and "acc, n = 80 about 8 images" in shown and "a vs b" in shown
    assert "rows with the same doc.image_id are taken" in shown
    shown = compared(
        capsys, paths[0].parent, paths[1].parent, "--cluster", "doc.group.name", "--metric", "acc_norm"
    )
    assert "acc norm, n = 80 about 16 images" in shown and "* b is better" in shown
    assert "80 rows have no doc.page, the first document 0" in refused(
        capsys, "compare", *paths, "--cluster", "doc.page"
    )
    assert "no metric bleu (remedy: choose from acc, acc_norm)" in refused(
        capsys, "compare", *paths, "--metric", "bleu"
    )


def test_renamed_logs_go_by_their_own_names(tmp_path, capsys):
    paths = [from_harness(tmp_path / f"{name}.jsonl", [1.0, 0.0] * 20) for name in ("old", "new")]
    assert "old vs new" in compared(capsys, *paths)


def test_each_filter_of_the_harness_is_a_metric_of_its_own(tmp_path):
    path = tmp_path / "samples_gsm8k_2026-11-28T09-00-00.1.jsonl"
    rows = []
    for name, score in (("strict-match", 0.0), ("flexible-extract", 1.0)):
        from_harness(path, [score] * 3, filter=name, metrics=["acc"])
        rows += [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, rows)
    log = read_foreign([path], "a").tasks["gsm8k"]
    assert dict(log.metrics) == {"acc,strict-match": 0.0, "acc,flexible-extract": 1.0}
    write_rows(path, rows + rows[:1])
    with pytest.raises(ResultsError, match="row 7: document 0 appears twice"):
        read_foreign([path], "a")


def test_the_newest_log_of_a_task_counts_and_the_older_one_is_named(tmp_path):
    for day, score in (("27", 0.0), ("28", 1.0)):
        from_harness(tmp_path / f"samples_arc_2026-11-{day}T09-00-00.1.jsonl", [score] * 4)
    found = read_foreign(sample_logs(tmp_path), "a")
    assert found.tasks["arc"].scores() == [1.0] * 4
    assert (
        found.notes[0]
        == "a: samples_arc_2026-11-27T09-00-00.1.jsonl is older than another log of its task and left out."
    )


def test_other_documents_are_refused(tmp_path, capsys):
    a = from_harness(tmp_path / "a.jsonl", [1.0] * 5)
    b = from_harness(tmp_path / "b.jsonl", [1.0] * 5, doc_hash="another")
    assert "5 documents have a different doc_hash than in a: 0, 1, 2, 3, 4" in refused(
        capsys, "compare", a, b
    )


def with_scores(path: Path, metric: str, scores: list[float]) -> Path:
    """A harness's log with one metric of this name."""
    from_harness(path, scores, metrics=[metric])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [row | {metric: row["acc"]} for row in rows])
    return path


@pytest.mark.parametrize("metric", ["wer", "word_error_rate"])
def test_of_error_rates_less_is_better(tmp_path, capsys, metric):
    scores = {"a": [0.1 + n % 3 / 100 for n in range(40)], "b": [0.6 + n % 5 / 100 for n in range(40)]}
    logs = [with_scores(tmp_path / f"{name}.jsonl", metric, values) for name, values in scores.items()]
    text = compared(capsys, *logs, "--cluster", "doc_id")
    assert "SAMPLES ↓" in text and "↓ that lower is" in text
    assert "* a is better" in text and "only a: 40, only b: 0 of 40" in text
    assert "not known" not in text


@pytest.mark.parametrize(
    "metric, lower",
    [
        *((name, True) for name in ("wer", "cer", "TER", "ter,none", "wer_score", "loss", "accuracy_loss")),
        *((name, True) for name in ("nll", "ppl", "perplexity", "word_perplexity", "bits_per_byte")),
        *((name, False) for name in ("acc", "acc_norm", "exact_match,strict-match", "pope_accuracy", "f1")),
        *((name, False) for name in ("mme_score", "error_detection_accuracy", "seed_image_score")),
        *((name, False) for name in ("chrf++", "ROUGE-L")),
        *((name, None) for name in ("gqa", "outcome", "terse", "lossy")),
    ],
)
def test_the_direction_of_a_metric_is_known_by_its_name(metric, lower):
    assert is_lower_better(metric) is lower


@pytest.mark.parametrize("metric", ["wer", "word_error_rate"])
def test_error_rates_above_1_are_compared(tmp_path, capsys, metric):
    a = with_scores(tmp_path / "a.jsonl", metric, [0.5 + n % 3 / 10 for n in range(40)])
    b = with_scores(tmp_path / "b.jsonl", metric, [1.2 + n % 4 / 10 for n in range(40)])
    text = compared(capsys, a, b, "--cluster", "doc_id")
    assert "* a is better" in text and "a 59.8" in text
    # 135 ± 1.96 · 11.2 / √40, by the bootstrap
    found = re.search(r"b 135\.0 no control .*?\[(13\d\.\d), (13\d\.\d)\]", text)
    assert found is not None
    assert [float(bound) for bound in found.groups()] == pytest.approx([131.5, 138.5], abs=0.5)
    assert (
        f"Note: samples: {metric} is above 1 in some rows, as error rates can be; 1 is shown as 100" in text
    )
    # The test does not depend on the scale.
    halved = [
        with_scores(tmp_path / name, metric, [score / 2 for score in scores])
        for name, scores in (
            ("c.jsonl", [0.5 + n % 3 / 10 for n in range(40)]),
            ("d.jsonl", [1.2 + n % 4 / 10 for n in range(40)]),
        )
    ]
    assert "p < 0.001" in text and "above 1" not in compared(capsys, *halved, "--cluster", "doc_id")


@pytest.mark.parametrize("metric, value", [("wer", -0.1), ("wer", math.inf), ("wer", math.nan), ("mer", 1.2)])
def test_what_no_error_rate_can_be_is_refused(tmp_path, metric, value):
    with pytest.raises(ResultsError, match=f"{metric}: row 2 has {value:g}"):
        read_foreign([with_scores(tmp_path / "a.jsonl", metric, [0.5, value])], "a")


def harness_folder(folder: Path, logs: dict[str, dict]) -> Path:
    for task, fields in logs.items():
        from_harness(folder / f"samples_{task}_2026-11-28T09-00-00.1.jsonl", [1.0, 0.0] * 20, **fields)
    return folder


def test_a_task_that_cannot_be_compared_is_left_out_and_named(tmp_path, capsys):
    """As the harness logs wikitext: what a perplexity is made of, and no number for a row."""
    logs = {
        "arc": {},
        "belebele": {},
        "wikitext": {"metrics": ["word_perplexity"], "word_perplexity": [-310.5, 61]},
    }
    text = compared(capsys, *(harness_folder(tmp_path / name, logs) for name in "ab"))
    assert "ARC ↑" in text and "BELEBELE ↑" in text and "WIKITEXT" not in text
    for name in "ab":
        path = tmp_path / name / "samples_wikitext_2026-11-28T09-00-00.1.jsonl"
        assert f"Note: {name}: wikitext is left out. {path}: no row has a metric that is a number" in text


def test_a_metric_or_field_that_a_task_lacks_leaves_out_that_task(tmp_path, capsys):
    logs = {"arc": {}, "gsm": {"metrics": ["acc"], "doc": {"question": "q"}}}
    folders = [harness_folder(tmp_path / name, logs) for name in "ab"]
    text = compared(capsys, *folders, "--metric", "acc_norm")
    assert (
        "ARC ↑" in text
        and "GSM" not in text
        and "a: gsm is left out." in text
        and "no metric acc_norm" in text
    )
    text = compared(capsys, *folders, "--cluster", "doc.image_id")
    assert "ARC ↑" in text and "GSM" not in text and "40 rows have no doc.image_id" in text
    message = refused(capsys, "compare", *folders, "--metric", "bleu")
    assert "no metric bleu (remedy: choose from acc, acc_norm)" in message


def test_a_damaged_log_still_refuses_the_comparison(tmp_path, capsys):
    folders = [harness_folder(tmp_path / name, {"arc": {}, "gsm": {}}) for name in "ab"]
    path = folders[1] / "samples_gsm_2026-11-28T09-00-00.1.jsonl"
    path.write_text(path.read_text()[:-20])
    assert f"{path} row 40: broken line" in refused(capsys, "compare", *folders)


def test_models_without_a_common_task_say_what_was_left_out(tmp_path, capsys):
    broken = {"metrics": ["acc"], "acc": "N/A"}
    a = harness_folder(tmp_path / "a", {"arc": {}, "gsm": broken})
    b = harness_folder(tmp_path / "b", {"gsm": {}})
    message = refused(capsys, "compare", a, b)
    assert "the models have no task in common; a: gsm is left out. " in message


def test_metrics_and_filters_that_are_not_shown_are_named(tmp_path, capsys):
    folders = [harness_folder(tmp_path / name, {"arc": {}, "belebele": {}}) for name in "ab"]
    said = "acc is compared. Also in the logs (choose with --metric): acc_norm."
    text = compared(capsys, *folders)
    assert f"Note: arc, belebele: {said}" in text and text.count("acc is compared") == 1
    assert "is compared" not in compared(capsys, *folders, "--metric", "acc")
    logs = []
    for name in "cd":
        rows = []
        for chosen in ("strict-match", "flexible-extract"):
            path = from_harness(tmp_path / f"{name}.jsonl", [1.0, 0.0] * 9, filter=chosen, metrics=["acc"])
            rows += [json.loads(line) for line in path.read_text().splitlines()]
        write_rows(path, rows)
        logs.append(path)
    text = compared(capsys, *logs)
    assert (
        "samples: acc,strict-match is compared. Also in the logs (choose with --metric): "
        "acc,flexible-extract." in text
    )


def test_logs_with_unequal_first_metrics_are_told_the_metrics_that_all_have(tmp_path, capsys):
    metrics = {"a": ["acc", "f1", "em"], "b": ["f1", "em", "acc"], "c": ["em", "f1"]}
    logs = {}
    for name, each in metrics.items():
        scores = dict.fromkeys(each, 0.5)
        logs[name] = from_harness(tmp_path / f"{name}.jsonl", [1.0, 0.0] * 20, metrics=each, **scores)
    message = refused(capsys, "compare", logs["a"], logs["b"])
    assert "primary of task b is f1 here and acc for a" in message
    assert message.endswith("(remedy: choose with --metric one that all have: acc; f1; em)\n")
    # Of three models, what only two of them have would be refused for the third.
    message = refused(capsys, "compare", *logs.values())
    assert message.endswith("(remedy: choose with --metric one that all have: f1; em)\n")
    assert "f1, n = 40" in compared(capsys, *logs.values(), "--metric", "f1", "--cluster", "doc_id")
    lone = from_harness(tmp_path / "d.jsonl", [1.0] * 40, metrics=["chrf"], chrf=0.5)
    assert "(remedy: give logs that have a metric in common)" in refused(capsys, "compare", logs["c"], lone)


def test_a_metric_of_unknown_direction_is_said(tmp_path, capsys):
    logs = [from_harness(tmp_path / f"{name}.jsonl", [1.0, 0.0] * 20) for name in "ab"]
    for path in logs:
        path.write_text(path.read_text().replace('"acc"', '"gqa"').replace("acc_norm", "gqa_norm"))
    text = compared(capsys, *logs)
    assert "SAMPLES ↑" in text
    assert "samples: whether more or less gqa is better is not known; more is taken to be." in text


def test_a_row_that_is_no_score_from_0_to_1_is_named_with_its_value(tmp_path, capsys):
    log = from_harness(tmp_path / "a.jsonl", [0.5, float("nan"), 1.0])
    message = refused(capsys, "compare", log, log, "--metric", "acc")
    assert "a.jsonl: acc is not a score from 0 to 1 in every row: row 2 has nan (remedy: " in message
    log = from_harness(tmp_path / "b.jsonl", [50.0, 100.0], metrics=["acc"])
    message = refused(capsys, "compare", log, log)
    assert "no metric is a score from 0 to 1 in every row: acc: row 1 has 50 (remedy: divide perc" in message
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    write_rows(log, [{**rows[0], "acc": 1.0}, {**rows[1], "acc": "N/A"}])
    assert "acc: row 2 has no number there" in refused(capsys, "compare", log, log)


def test_a_log_without_hashes_of_its_documents_is_compared_and_said(tmp_path, capsys):
    a = from_harness(tmp_path / "a.jsonl", [1.0, 0.0] * 10)
    b = from_harness(tmp_path / "b.jsonl", [1.0, 0.0] * 10)
    rows = [json.loads(line) for line in b.read_text().splitlines()]
    write_rows(b, [{key: value for key, value in row.items() if key != "doc_hash"} for row in rows])
    text = compared(capsys, a, b)
    assert "a vs b" in text and f"{b} has rows without doc_hash, which are the same as others by" in text


@pytest.mark.parametrize(
    "line, reason",
    [
        ("", "no samples"),
        ("{}\n", "row 1: field 'doc_id' must be int"),
        ("[1]\n", "row 1: not a JSON object"),
        (
            '{"doc_id": 0, "note": "x", "loss": 4}\n',
            "no metric is a score from 0 to 1 in every row: loss: row 1 has 4",
        ),
    ],
)
def test_what_is_no_sample_log_is_refused(tmp_path, line, reason):
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(ResultsError, match=reason):
        read_foreign([tmp_path / "a.jsonl"], "a")


def test_our_own_logs_take_neither_metric_nor_field(small_run, capsys):
    message = refused(capsys, "compare", small_run, "--models", "IT", "PT+IT", "--metric", "robust", code=2)
    assert "are for sample logs of lmms-eval" in message
