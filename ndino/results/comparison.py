"""Paired tests of models on their common tasks: by image, with the paper's McNemar test beside it.

All tests of a call are one family for Holm's correction, whichever models and tasks they are of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ndino.results import statistics
from ndino.results.logs import ModelLogs, TaskLog
from ndino.results.statistics import ALPHA

DIGITS = 6
# Metrics that are a similarity and no share of right answers, even where a model's scores are all 0.
FRACTIONAL = frozenset({"chrf"})


def compare_pairs(
    pairs: Sequence[tuple[ModelLogs, ModelLogs]], others: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Test every pair on every task that both answered, corrected over all these tests and ``others``.

    ``others`` are tests of the same call with their ``p``; they get their ``p_holm`` here. The logs must have
    passed `check_comparable`. Each entry holds:

    - ``task``, ``a``, ``b``, and ``n``, the number of rows;
    - ``p``, ``p_holm``: of the sign-flip test over images, and corrected;
    - ``difference``: mean of a minus mean of b over the different questions, which is what is tested;
    - ``questions``, ``images``: how many different ones there are; ``images`` is null for logs that do not
      name them, whose rows count as an image each;
    - ``detectable``: the true difference that this test, corrected, would have shown with a power of 80 %;
      null if it would have shown none below 1;
    - ``lower_is_better``: whether less of the metric is better;
    - ``n01``, ``n10``: rows that only b got right (or scored better on), and that only a did;
    - ``paper``: {"p", "test"}: McNemar's test over all rows as if they were independent; the permutation test
      where scores are fractional.
    """
    cells = [(a, b, task) for a, b in pairs for task in sorted(a.tasks.keys() & b.tasks.keys())]
    tests = [_tested(a.tasks[task], b.tasks[task]) for a, b, task in cells]
    raw = [*(test.p for test, _ in tests), *(other["p"] for other in others)]
    corrected = statistics.holm(raw)
    for other, p_holm in zip(others, corrected[len(tests) :], strict=True):
        other["p_holm"] = significant(p_holm)
    return [
        {
            "task": task,
            "a": a.name,
            "b": b.name,
            "n": len(a.tasks[task].having().samples),
            "questions": test.questions,
            "images": test.images if _named(a.tasks[task], b.tasks[task]) is not None else None,
            "difference": round(test.difference, DIGITS),
            "p": significant(test.p),
            "p_holm": significant(p_holm),
            "detectable": rounded(statistics.detectable_difference(test, tests=len(raw))),
            "lower_is_better": a.tasks[task].lower_is_better,
            **_discordant(paper, a.tasks[task].lower_is_better),
            "paper": {"p": significant(paper.p), "test": paper.test},
        }
        for (a, b, task), (test, paper), p_holm in zip(cells, tests, corrected[: len(tests)], strict=True)
    ]


def _discordant(paper: statistics.PairedTest, lower_is_better: bool) -> dict[str, int]:
    counts = (paper.n10, paper.n01) if lower_is_better else (paper.n01, paper.n10)
    return dict(zip(("n01", "n10"), map(int, counts), strict=True))


def _named(a: TaskLog, b: TaskLog) -> TaskLog | None:
    """The log of the two that names its images."""
    return next((log for log in (a, b) if log.images is not None), None)


def _tested(a: TaskLog, b: TaskLog) -> tuple[statistics.ImageTest, statistics.PairedTest]:
    a, b = a.having(), b.having()
    first, second = a.scores(), b.scores()
    known = _named(a, b)
    images, questions = (None, None) if known is None else (known.images, known.questions)
    return statistics.image_test(first, second, images, questions), statistics.paired_test(first, second)


def significant(p: float) -> float:
    """A p-value as the summary holds it."""
    return float(f"{p:.{DIGITS}g}")


def rounded(value: float | None) -> float | None:
    """A score, a difference or a bound as the summary holds it."""
    return None if value is None else round(float(value), DIGITS)


def perplexity_figures(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The single tests in the rows of `ndino.results.logs.perplexity_tests.compare_perplexities`."""
    return [row[figure] for row in rows for figure in ("corpus", "paper") if row[figure] is not None]


def tests_of_family(summary: Mapping[str, Any]) -> str:
    """Over how many tests Holm's correction ran, such as "all 5 tests, 2 of them of perplexities"."""
    perplexities = len(perplexity_figures(summary.get("perplexity_tests", ())))
    count = len(summary["tests"]) + perplexities
    shown = "1 test" if count == 1 else f"all {count} tests"
    return f"{shown}, {perplexities} of them of perplexities" if perplexities else shown


def better_model(row: Mapping[str, Any], scores: Mapping[str, float]) -> str | None:
    """The better model of a tested pair, by the test and by the shown ``scores`` alike; None if neither is.

    A benchmark that repeats some questions can rank two models one way by its rows and the other way by its
    different questions; then neither is called better.
    """
    if row["p_holm"] >= ALPHA or not row["difference"]:
        return None
    sign = -1 if row["lower_is_better"] else 1
    better, other = (row["a"], row["b"]) if sign * row["difference"] > 0 else (row["b"], row["a"])
    return better if sign * (scores[better] - scores[other]) > 0 else None


def fractional_metrics(models: Collection[ModelLogs]) -> frozenset[tuple[str, str]]:
    """(task, metric) of the metrics that can give other scores than 0 and 1, by any model's answers."""
    by_name = {
        (task, metric)
        for model in models
        for task, log in model.tasks.items()
        for metric in log.metrics
        if metric in FRACTIONAL
    }
    seen = {
        (task, metric)
        for model in models
        for task, log in model.tasks.items()
        for samples in (log.samples, *log.shuffled)
        for sample in samples
        for metric, score in sample.metrics.items()
        if score not in (0, 1)
    }
    return frozenset(by_name | seen)
