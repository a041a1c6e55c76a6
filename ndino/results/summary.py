"""Build the summary of a run: the dictionary behind the tables and the page (``report/summary.json``).

    {"models": {name: {task: {METRIC: value, ..., "metric": METRIC, "n": int, "interval": [lo, hi],
                              "shuffled": number|null, "majority": number|null,
                              "right_minus_shuffled": number|null,
                              "right_minus_shuffled_interval": [lo, hi]|null,
                              "intervals": {other metric: [lo, hi]}}}},
     "perplexity": {name: {set: {"paper": number|null, "corpus": number, "outliers": int, "n": int,
                                 "skipped": int, "interval": [lo, hi]|null, "shuffled": number|null}}},
     "mcnemar": [{"task", "a", "b", "p", "n01", "n10", "n", "test", "p_holm"}],
     "seconds": {step: s}, "peak_rss_mb": number|null}

``metric`` names the primary metric; ``interval``, ``shuffled`` and ``majority`` belong to it. Scores are
fractions. ``n01`` counts documents that only b got right (or scored higher on), ``n10`` those that only a
did. ``p_holm`` is corrected over the tasks of its pair. The same logs give the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ndino.languages.answers import reader
from ndino.results import statistics
from ndino.results.logs import ROUNDING, ModelLogs, PerplexityLog, ResultsError, RunLogs, TaskLog

# Models that differ only in the Italian pre-training; the paper tests the first pair (Table 5).
PAPER_PAIRS = (("IT", "PT+IT"), ("LONG-IT", "PT+LONG-IT"), ("IT+LONG-IT", "PT+IT+LONG-IT"))
DIGITS = 6
# Of the tasks with a yes or no.
TASK_LANGUAGE = "it"
# F1 metrics, each with the metric that says which answers were right.
F1_METRICS = {
    "pope_f1_score": "pope_accuracy",
    "robust_f1_score": "robust",
    "first_sentence_f1_score": "first_sentence",
}
# By this rule every answer is yes or no.
ALWAYS_PARSEABLE = frozenset({"first_sentence_f1_score"})
# The keys of an entry that are not metrics.
RESERVED = frozenset({"metric", "n", "interval", "intervals", "shuffled", "majority"}) | {
    "right_minus_shuffled",
    "right_minus_shuffled_interval",
}


def model_order(names: Sequence[str]) -> list[str]:
    """Sort models: those outside the pairs (baselines, PT alone) by name, then the family in pair order."""
    family = list(itertools.chain.from_iterable(PAPER_PAIRS))
    return sorted(names, key=lambda name: (family.index(name) if name in family else -1, name))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)


def _bounds(interval: Sequence[float] | None) -> list[float | None] | None:
    return None if interval is None else [_rounded(bound) for bound in interval]


def f1_interval(log: TaskLog, metric: str) -> statistics.Interval | None:
    """Interval for a POPE F1 score, or None if it cannot be rebuilt from the answers' scores.

    A right answer to a "yes" question is a true positive; a wrong, parseable one to a "no" question is a
    false positive. The released F1 score leaves out answers that are neither yes nor no. If there are such
    answers, the F1 rebuilt here differs from it, and there is no interval.
    """
    answers = reader(TASK_LANGUAGE)
    gold = [answers.yes_or_no(str(sample.target)) is True for sample in log.samples]
    parseable = metric in ALWAYS_PARSEABLE
    predicted = [
        right == 1 if is_yes else right == 0 and (parseable or not sample.metrics.get("unparseable"))
        for is_yes, right, sample in zip(gold, log.scores(F1_METRICS[metric]), log.samples, strict=True)
    ]
    cells = list(zip(gold, predicted, strict=True))
    f1 = statistics.f1_score(*(cells.count(cell) for cell in [(True, True), (False, True), (True, False)]))
    if abs(f1 - log.metrics[metric]) > ROUNDING:
        return None
    return statistics.bootstrap_f1_interval(gold, predicted)


def _other_intervals(log: TaskLog) -> dict[str, list[float | None]]:
    """Intervals for the metrics other than the primary one, where the log has per-document scores."""
    scored = set.intersection(*(set(sample.metrics) for sample in log.samples)) - {log.primary}
    intervals = {}
    for metric in log.metrics:
        if metric in scored:
            intervals[metric] = _bounds(statistics.score_interval(log.scores(metric)))
        elif metric in F1_METRICS and F1_METRICS[metric] in {*scored, log.primary}:
            interval = f1_interval(log, metric)
            if interval is not None:
                intervals[metric] = _bounds(interval)
    return intervals


def summarise_task(log: TaskLog) -> dict[str, Any]:
    """One model's entry for one task. Raises ResultsError for a metric named like one of the entry's keys."""
    clash = RESERVED & log.metrics.keys()
    if clash:
        raise ResultsError(
            log.path, f"a metric cannot be named '{min(clash)}'", remedy="rename it in the task"
        )
    scores, control = log.scores(), log.shuffled_scores()
    return {metric: _rounded(value) for metric, value in log.metrics.items()} | {
        log.primary: _rounded(sum(scores) / len(scores)),
        "metric": log.primary,
        "n": len(scores),
        "interval": _bounds(statistics.score_interval(scores)),
        "shuffled": _rounded(sum(control) / len(control)) if control else None,
        "majority": _rounded(log.majority.get(log.primary)),
        "right_minus_shuffled": _rounded((sum(scores) - sum(control)) / len(scores)) if control else None,
        "right_minus_shuffled_interval": (
            _bounds(statistics.difference_interval(scores, control)) if control else None
        ),
        "intervals": _other_intervals(log),
    }


def compare_pair(a: ModelLogs, b: ModelLogs) -> list[dict[str, Any]]:
    """Run a paired test on every task that both models answered, Holm-corrected over these tasks.

    The logs must have passed `check_comparable`.
    """
    tasks = sorted(a.tasks.keys() & b.tasks.keys())
    tests = [statistics.paired_test(a.tasks[task].scores(), b.tasks[task].scores()) for task in tasks]
    corrected = statistics.holm([test.p for test in tests])
    return [
        {
            "task": task,
            "a": a.name,
            "b": b.name,
            "p": float(f"{test.p:.{DIGITS}g}"),
            "n01": test.n01,
            "n10": test.n10,
            "n": len(a.tasks[task].samples),
            "test": test.test,
            "p_holm": float(f"{p_holm:.{DIGITS}g}"),
        }
        for task, test, p_holm in zip(tasks, tests, corrected, strict=True)
    ]


def _summarise_perplexity(log: PerplexityLog) -> dict[str, Any]:
    return {
        "paper": _rounded(log.paper),
        "corpus": _rounded(log.corpus),
        "outliers": log.outliers,
        "n": log.n,
        "skipped": log.skipped,
        "interval": _bounds(log.interval),
        "shuffled": _rounded(log.shuffled),
    }


def build_summary(run: RunLogs, *, pairs: Sequence[tuple[str, str]] | None = None) -> dict[str, Any]:
    """Build the summary of a run that `read_run` has read and checked.

    ``pairs`` names the models to test against each other, by default those of ``PAPER_PAIRS`` that the run
    has. Raises ResultsError if a pair names a model that was not evaluated.
    """
    if pairs is None:
        pairs = [pair for pair in PAPER_PAIRS if set(pair) <= run.models.keys()]
    for name in itertools.chain.from_iterable(pairs):
        if name not in run.models:
            known = ", ".join(model_order(list(run.models)))
            raise ResultsError(run.folder, f"model {name} was not evaluated", remedy=f"choose from {known}")
    return {
        "models": {
            name: {task: summarise_task(log) for task, log in run.models[name].tasks.items()}
            for name in model_order(list(run.models))
        },
        "perplexity": {
            name: {key: _summarise_perplexity(log) for key, log in run.perplexity[name].items()}
            for name in model_order(list(run.perplexity))
        },
        "mcnemar": [row for a, b in pairs for row in compare_pair(run.models[a], run.models[b])],
        "seconds": {step: _rounded(seconds) for step, seconds in run.seconds.items()},
        "peak_rss_mb": _rounded(run.peak_rss_mb),
    }
