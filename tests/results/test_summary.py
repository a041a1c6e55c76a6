"""The summary's figures, worked out by hand from the small run (tests/results/synthetic.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ndino.cli import main
from ndino.results import comparison
from ndino.results.logs import ResultsError, read_run
from ndino.results.summary import build_summary, model_order, summarise_task
from tests.results.synthetic import FAMILY, write_rows, write_task


def test_scores_control_and_intervals(summary):
    entry = summary["models"]["PT+IT"]["gqa-it"]
    assert {key: entry[key] for key in ("exact_match", "metric", "n", "shuffled", "majority")} == {
        "exact_match": 0.425,
        "metric": "exact_match",
        "n": 40,
        "shuffled": 0.0,
        "majority": 0.25,
    }
    # Wilson, 17 of 40
    assert entry["interval"] == pytest.approx([0.2851, 0.5780], abs=1e-4)
    assert entry["right_minus_shuffled"] == 0.425
    # Agresti-Min, n10 = 17, n01 = 0, n = 40: 17/42 +- 1.96 * sqrt(18 - 289/42) / 42
    assert entry["right_minus_shuffled_interval"] == pytest.approx([0.24911, 0.56041], abs=1e-4)


def test_a_model_that_answers_alike_with_wrong_images_gains_nothing(summary):
    entry = summary["models"]["IT"]["gqa-it"]
    assert (entry["exact_match"], entry["shuffled"], entry["right_minus_shuffled"]) == (0.25, 0.25, 0)
    low, high = entry["right_minus_shuffled_interval"]
    assert low < 0 < high


def test_without_control_the_fields_are_null(summary):
    entry = summary["models"]["PT+IT"]["ok-vqa-it"]
    assert (
        entry["shuffled"] is entry["right_minus_shuffled"] is entry["right_minus_shuffled_interval"] is None
    )


def test_tests_and_their_correction(summary):
    rows = {row["task"]: row for row in summary["tests"]}
    assert list(rows) == ["gqa-it", "mtvqa-it", "ok-vqa-it"]
    gqa, mtvqa, okvqa = rows.values()
    assert [gqa[key] for key in ("a", "b", "n01", "n10", "n", "questions", "images", "difference")] == [
        *("IT", "PT+IT"),
        *(10, 3, 40, 40, 40),
        -7 / 40,
    ]
    # The paper's McNemar test, exact.
    assert gqa["paper"] == {"p": pytest.approx(756 / 8192, rel=1e-5), "test": "exact"}
    assert mtvqa["paper"] == {"p": pytest.approx(2 / 4096, rel=1e-5), "test": "exact"}
    # Four differences in one direction: 2 of 16 sign patterns.
    assert (okvqa["paper"], okvqa["n01"], okvqa["n10"]) == ({"p": 0.125, "test": "permutation"}, 4, 0)
    # Over images: patterns that are as extreme as the one seen, 2 * C(13, 3) = 572, 2 and 2, count by half.
    assert gqa["p"] == pytest.approx((756 - 286) / 8192, rel=1e-5)
    assert (mtvqa["p"], okvqa["p"]) == (pytest.approx(1 / 4096, rel=1e-5), 1 / 16)
    # Holm over these and the one of perplexity (.125): .000244 * 4; .0574 * 3 = .1721; others raised to it
    assert mtvqa["p_holm"] == pytest.approx(4 / 4096, rel=1e-5)
    assert gqa["p_holm"] == okvqa["p_holm"] == pytest.approx(3 * 470 / 8192, rel=1e-5)
    perplexity = summary["perplexity_tests"][0]["corpus"]
    assert (perplexity["p"], perplexity["p_holm"]) == (0.125, gqa["p_holm"])


def test_perplexity_and_costs(summary):
    assert summary["perplexity"]["IT"]["llava-bench-it"] | {"corpus": 0, "interval": 0} == {
        "paper": None,
        "corpus": 0,
        "outliers": 3,
        "n": 3,
        "skipped": 0,
        "interval": 0,
        "shuffled": 9000.0,
        "bits_per_character": None,
    }
    # the mean of 2 and 8; the cube root of 2 * 8 * 2000
    pretrained = summary["perplexity"]["PT+IT"]["llava-bench-it"]
    assert (pretrained["paper"], pretrained["outliers"]) == (5.0, 1)
    assert pretrained["corpus"] == pytest.approx(32000 ** (1 / 3), abs=1e-5)
    assert summary["seconds"] == {"tower": 40.0, "mlp": 20.25}
    assert summary["peak_rss_mb"] == 1100.5


def test_two_readings_give_the_same_bytes(family_run):
    first, second = (json.dumps(build_summary(read_run(family_run))) for _ in range(2))
    assert first == second


def test_default_pairs_are_those_the_run_has(family_run):
    rows = build_summary(read_run(family_run))["tests"]
    assert len(rows) == 3 * 9
    assert {(row["a"], row["b"]) for row in rows} == {
        ("IT", "PT+IT"),
        ("LONG-IT", "PT+LONG-IT"),
        ("IT+LONG-IT", "PT+IT+LONG-IT"),
    }


def own_run(folder: Path, names: Sequence[str]) -> Path:
    """Models of names that are none of the paper's; the later one is right on more rows."""
    for number, name in enumerate(names):
        (folder / "eval" / name).mkdir(parents=True)
        write_task(folder / "eval" / name, "gqa-it", [float(row < 8 * number) for row in range(40)])
    return folder


def test_models_of_other_names_are_all_tested_in_one_family(tmp_path):
    summary = build_summary(read_run(own_run(tmp_path, ["a", "b", "c"])))
    rows = summary["tests"]
    assert [(row["a"], row["b"]) for row in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    # 16 of 40 rows differ between a and c: mid-p is 2^-16, times three tests.
    assert rows[1]["p_holm"] == pytest.approx(3 * 2**-16, rel=1e-4)
    assert comparison.tests_of_family(summary) == "all 3 tests" and summary["notes"] == []


def test_only_two_models_of_the_family_that_are_no_pair_are_tested(tmp_path):
    rows = build_summary(read_run(own_run(tmp_path, ["IT", "PT"])))["tests"]
    assert [(row["a"], row["b"]) for row in rows] == [("PT", "IT")]


def test_the_tested_pairs_are_named_where_others_are_not_tested(tmp_path, capsys):
    run = own_run(tmp_path, ["IT", "PT+IT", "mine"])
    assert main(["report", str(run)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "Note: Tested against each other: IT with PT+IT. Other pairs: ndino compare RUN --models A B" in shown
    )
    assert "The report page shows confidence intervals and tests." in shown
    assert "mine against" not in shown


def test_too_many_models_for_all_pairs_are_not_tested_and_that_is_said(tmp_path, capsys):
    run = own_run(tmp_path, "abcdefg")
    assert main(["report", str(run)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "Note: No models are tested against each other: 7 models have too many pairs (at most 6 are all "
        "tested). Choose some with: ndino compare RUN --models A B" in shown
    )
    assert "The report page shows confidence intervals. " in shown and "and tests" not in shown


def test_a_pair_with_an_unknown_model_is_refused(small_run):
    with pytest.raises(ResultsError, match=r"model PT was not evaluated \(remedy: choose from IT, PT\+IT\)"):
        build_summary(read_run(small_run), pairs=[("PT", "IT")])


def test_models_are_listed_as_in_the_paper():
    assert model_order(sorted([*FAMILY, "mblip"])) == ["PT", "mblip", *FAMILY[1:]]


def test_f1_gets_an_interval_only_when_every_answer_is_yes_or_no(small_run):
    targets = ["sì", "no"] * 10
    right = [1, 1] * 6 + [0, 0] * 4  # 6 true positives, 4 false negatives, 4 false positives: F1 = 12/20
    for f1, known in ((0.6, True), (0.2, False)):
        extra = {"pope_f1_score": f1}
        write_task(
            small_run / "eval" / "IT", "pope-it", right, metric="pope_accuracy", extra=extra, targets=targets
        )
        intervals = summarise_task(read_run(small_run).models["IT"].tasks["pope-it"])["intervals"]
        assert ("pope_f1_score" in intervals) == known
        if known:
            low, high = intervals["pope_f1_score"]
            assert low < 0.6 < high


def test_popes_own_rule_has_an_interval_where_answers_are_neither_yes_nor_no(small_run):
    targets, right = ["sì", "no"] * 10, [1, 1] * 6 + [0, 0] * 4
    folder = small_run / "eval" / "IT"
    write_task(
        *(folder, "pope-it", right),
        metric="first_sentence",
        extra={"first_sentence_f1_score": 0.6, "unparseable": 1.0},
        targets=targets,
    )
    log = folder / "pope-it.jsonl"
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    write_rows(log, [{**row, "metrics": {**row["metrics"], "unparseable": 1}} for row in rows])
    found = summarise_task(read_run(small_run).models["IT"].tasks["pope-it"])["intervals"]
    assert found["first_sentence_f1_score"][0] < 0.6 < found["first_sentence_f1_score"][1]


def test_a_metric_with_a_reserved_name_is_refused(small_run):
    write_task(small_run / "eval" / "IT", "count-it", [1, 0], metric="n")
    with pytest.raises(ResultsError, match="a metric cannot be named 'n'"):
        build_summary(read_run(small_run))
