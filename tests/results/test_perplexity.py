"""Perplexities are joined by content, compared on what both models scored, and tested by image."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ndino.results.comparison import compare_pairs, perplexity_figures
from ndino.results.logs import ResultsError
from ndino.results.logs.perplexity import read_perplexities
from ndino.results.logs.perplexity_tests import compare_perplexities
from tests.results.synthetic import write_rows


def write(run: Path, model: str, perplexities: dict[str, float | None], *, tokens: int = 10) -> None:
    """Write a set of answers named by their content; None is one that was not scored."""
    rows = [
        {
            "id": str(number),
            "nll": None if value is None else tokens * math.log(value),
            "answer_tokens": 0 if value is None else tokens,
            "perplexity": value,
            "skipped": value is None,
            "reason": "why: so" if value is None else None,
            "content": content,
            "image": f"image {content[0]}",
            "characters": 40,
        }
        for number, (content, value) in enumerate(perplexities.items())
    ]
    scored = [value for value in perplexities.values() if value is not None]
    kept = [value for value in scored if value <= 1000]
    corpus = math.exp(float(np.mean(np.log(scored))))
    summary = {
        "paper": float(np.mean(kept)) if kept else None,
        "corpus": corpus,
        "outliers": len(scored) - len(kept),
        "n": len(scored),
        "interval": [corpus, corpus],
        "bits_per_character": tokens * math.log2(corpus) / 40,
    }
    folder = run / model
    write_rows(folder / "set.jsonl", rows)
    (folder / "set.json").write_text(json.dumps(summary))


def test_other_answers_under_the_same_row_numbers_are_refused(tmp_path):
    write(tmp_path, "A", {"a1": 2, "b1": 3})
    write(tmp_path, "B", {"a1": 2, "c1": 3})
    with pytest.raises(ResultsError, match=r"not the same answers as A: 2 differ, e\.g\. b1 1"):
        read_perplexities(tmp_path)


def test_the_order_of_rows_says_nothing(tmp_path):
    write(tmp_path, "A", {"a1": 2, "b1": 3, "c1": 5})
    write(tmp_path, "B", {"c1": 5, "a1": 2, "b1": 3})
    logs, notes = read_perplexities(tmp_path)
    (entry,) = compare_perplexities(logs, [("A", "B")])
    assert entry["corpus"]["ratio"] == 1 and entry["corpus"]["p"] == 1 and not notes


def test_only_answers_that_every_model_scored_are_counted(tmp_path):
    write(tmp_path, "A", {"a1": 2, "a2": 4, "b1": 8, "c1": 16, "d1": 32})
    write(tmp_path, "B", {"a1": 3, "a2": None, "b1": 9, "c1": None, "d1": None})
    logs, notes = read_perplexities(tmp_path)
    mine, theirs = logs["A"]["set"], logs["B"]["set"]
    assert (mine.n, theirs.n) == (2, 2)
    assert mine.corpus == pytest.approx(4) and mine.paper == pytest.approx(5)
    assert mine.bits == pytest.approx(10 * 2 / 40)
    assert theirs.corpus == pytest.approx(math.sqrt(27))
    assert notes == [
        "Perplexity of A on set: 3 of its 5 answers were not scored by every model and are left out."
    ]
    write(tmp_path, "B", {"a1": None, "a2": 3, "b1": None, "c1": None, "d1": None})
    write(tmp_path, "A", {"a1": 3, "a2": None, "b1": 3, "c1": 3, "d1": 3})
    with pytest.raises(ResultsError, match="no answer was scored by all of A, B"):
        read_perplexities(tmp_path)


def test_logs_of_an_earlier_version_are_not_joined_with_new_ones(tmp_path):
    write(tmp_path, "A", {"a1": 2, "b1": 3})
    write(tmp_path, "B", {"a1": 2, "b1": 3})
    path = tmp_path / "B" / "set.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    kept = ("id", "nll", "answer_tokens", "perplexity", "skipped", "reason")
    write_rows(path, [{name: row[name] for name in kept} for row in rows])
    with pytest.raises(ResultsError, match="does not say which answers it is of"):
        read_perplexities(tmp_path)


def test_measures_of_two_versions_are_not_compared(tmp_path):
    for model, images in (("A", 1), ("B", 2)):
        write(tmp_path, model, {"a1": 2, "b1": 3})
        path = tmp_path / model / "set.json"
        depends = {"answers": {"wrapper": f"Scorer 2, images {images}"}}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"depends": depends}))
    with pytest.raises(ResultsError, match="measured by Scorer 2, images 2, that of A by Scorer 2, images 1"):
        read_perplexities(tmp_path)


def test_both_figures_are_tested_by_image(tmp_path):
    draw = np.random.default_rng(0)
    values = {f"{chr(97 + i // 4)}{i}": float(draw.uniform(2, 20)) for i in range(80)}
    write(tmp_path, "A", {**values, "z1": 5000.0})
    # The other model has another tokenizer, which needs twice as many tokens.
    write(tmp_path, "B", {**{k: math.sqrt(v * 1.5) for k, v in values.items()}, "z1": 70.0}, tokens=20)
    write(tmp_path, "C", {**values, "z1": 5000.0})
    logs, _ = read_perplexities(tmp_path)
    same, other = compare_perplexities(logs, [("A", "C"), ("A", "B")])
    compare_pairs([], perplexity_figures([same, other]))
    assert (other["n"], other["images"], other["paper"]["n"]) == (81, 21, 80)
    assert same["corpus"]["p"] == same["paper"]["p"] == same["corpus"]["p_holm"] == 1
    # 80 answers cost log2(1.5) bits more for each of ten tokens; the last one fewer.
    gained = (-800 * math.log2(1.5) + 10 * math.log2(5000) - 20 * math.log2(70)) / (81 * 40)
    assert other["bits"]["difference"] == pytest.approx(gained, abs=1e-5)
    assert other["bits"]["interval"][1] < 0 and other["corpus"]["p"] < 0.001 < other["corpus"]["p_holm"] * 10
    apart = np.mean([v - math.sqrt(v * 1.5) for v in values.values()])
    assert other["paper"]["difference"] == pytest.approx(apart, abs=1e-5)
    low, high = other["paper"]["interval"]
    assert low < apart < high and other["paper"]["p_holm"] < 0.05
