"""Build the summary of a run: the dictionary behind the tables and the page (``report/summary.json``).

    {"models": {name: {task: {METRIC: value, ..., "metric": METRIC, "n": int, "images": int|null,
                              "origin": "native"|"translated"|null,
                              "interval": [lo, hi], "fractional": bool, "lower_is_better": bool,
                              "shuffled": number|null, "majority": number|null,
                              "right_minus_shuffled": number|null,
                              "right_minus_shuffled_interval": [lo, hi]|null,
                              "blank": number|null, "shuffles": int,
                              "intervals": {other metric: [lo, hi]},
                              "parts": {kind: {part: {"n", "score", "interval", "shuffled",
                                                      "right_minus_shuffled"}}},
                              "letters": see `ndino.results.letters.letter_bias`,
                              "judged": [see `ndino.results.logs.judged.JudgedMean`, ...]}}},
     "perplexity": {name: {set: {"paper": number|null, "corpus": number, "outliers": int, "n": int,
                                 "skipped": int, "interval": [lo, hi]|null, "shuffled": number|null,
                                 "bits_per_character": number|null}}},
     "perplexity_tests": [see `ndino.results.logs.perplexity_tests.compare_perplexities`],
     "tests": [see `ndino.results.comparison.compare_pairs`],
     "notes": [sentence, ...],
     "seconds": {step: s}, "peak_rss_mb": number|null}

``metric`` names the primary metric; ``interval``, ``shuffled`` and ``majority`` belong to it. Scores are
fractions. ``images`` is how many different ones the questions are about; null in logs that do not name them.
``notes`` say what was left out or could not be checked. The same logs give the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ndino.languages.answers import reader
from ndino.languages.language import code_of_task
from ndino.results import statistics
from ndino.results.comparison import compare_pairs, fractional_metrics, perplexity_figures, rounded
from ndino.results.letters import correct_for_all, letter_bias
from ndino.results.logs import (
    ROUNDING,
    ModelLogs,
    PerplexityLog,
    ResultsError,
    RunLogs,
    TaskLog,
)
from ndino.results.logs.perplexity_tests import compare_perplexities
from ndino.results.statistics import Clusters

# Models that differ only in the Italian pre-training; the paper tests the first pair (Table 5).
PAPER_PAIRS = (("IT", "PT+IT"), ("LONG-IT", "PT+LONG-IT"), ("IT+LONG-IT", "PT+IT+LONG-IT"))
# Models of other names are all tested against each other up to this number: 15 pairs.
MOST_ALL_PAIRS = 6
# F1 metrics, each with the metric that says which answers were right.
F1_METRICS = {
    "pope_f1_score": "pope_accuracy",
    "robust_f1_score": "robust",
    "first_sentence_f1_score": "first_sentence",
}
# By this rule every answer is yes or no.
ALWAYS_PARSEABLE = frozenset({"first_sentence_f1_score"})
# The keys of an entry that are not metrics.
RESERVED = frozenset(
    {
        *("origin", "metric", "n", "images", "fractional", "lower_is_better", "interval", "intervals"),
        *("majority", "parts", "letters", "judged"),
        *("shuffled", "shuffles", "blank", "right_minus_shuffled", "right_minus_shuffled_interval"),
    }
)


def model_order(names: Sequence[str]) -> list[str]:
    """Sort models: those outside the pairs (baselines, PT alone) by name, then the family in pair order."""
    family = list(itertools.chain.from_iterable(PAPER_PAIRS))
    return sorted(names, key=lambda name: (family.index(name) if name in family else -1, name))


def _bounds(interval: Sequence[float] | None) -> list[float | None] | None:
    return None if interval is None else [rounded(bound) for bound in interval]


def f1_interval(log: TaskLog, metric: str) -> statistics.Interval | None:
    """Interval for a POPE F1 score, or None if it cannot be rebuilt from the answers' scores.

    A right answer to a "yes" question is a true positive; a wrong, parseable one to a "no" question is a
    false positive. The released F1 score leaves out answers that are neither yes nor no. If there are such
    answers, the F1 rebuilt here differs from it, and there is no interval.
    """
    if (code := code_of_task(log.path.stem)) is None:
        return None
    answers = reader(code)
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
    return statistics.bootstrap_f1_interval(gold, predicted, log.images)


def _other_intervals(log: TaskLog, fractional: Collection[str]) -> dict[str, list[float | None] | None]:
    """Intervals for the metrics other than the primary one, where the log has per-document scores."""
    in_all = set.intersection(*(set(sample.metrics) for sample in log.samples))
    intervals = {}
    for metric in log.metrics:
        if metric == log.primary:
            continue
        rows = log.having(metric)
        if metric in in_all or _is_mean(rows, metric):
            found = statistics.score_interval(
                rows.scores(metric), rows.images, fractional=metric in fractional
            )
            intervals[metric] = _bounds(found)
        elif metric in F1_METRICS and F1_METRICS[metric] in in_all:
            interval = f1_interval(log, metric)
            if interval is not None:
                intervals[metric] = _bounds(interval)
    return intervals


def _is_mean(rows: TaskLog, metric: str) -> bool:
    """Whether the metric is the mean over the rows that it stands in, such as one row a question."""
    scores = rows.scores(metric)
    return bool(scores) and abs(sum(scores) / len(scores) - rows.metrics[metric]) <= ROUNDING


def _parts(
    log: TaskLog, scores: Sequence[float], control: Sequence[float] | None, fractional: bool
) -> dict[str, dict[str, dict[str, Any]]]:
    """The primary score of each part of the benchmark, by each kind of which the log names several."""
    rows: dict[str, dict[str, list[int]]] = {}
    for row, sample in enumerate(log.samples):
        for kind, part in sample.parts.items():
            rows.setdefault(kind, {}).setdefault(part, []).append(row)
    return {
        kind: {
            part: _score_part(found, scores, control, log.images, fractional)
            for part, found in sorted(parts.items())
        }
        for kind, parts in sorted(rows.items())
        if len(parts) > 1
    }


def _score_part(
    rows: Sequence[int],
    scores: Sequence[float],
    control: Sequence[float] | None,
    images: Clusters | None,
    fractional: bool,
) -> dict[str, Any]:
    own = [scores[row] for row in rows]
    wrong = None if control is None else [control[row] for row in rows]
    shared = None if images is None else Clusters.of([int(images.codes[row]) for row in rows])
    return {
        "n": len(rows),
        "score": rounded(sum(own) / len(own)),
        "interval": _bounds(statistics.score_interval(own, shared, fractional=fractional)),
        "shuffled": None if wrong is None else rounded(sum(wrong) / len(wrong)),
        "right_minus_shuffled": None if wrong is None else rounded((sum(own) - sum(wrong)) / len(own)),
    }


def summarise_task(log: TaskLog, fractional: Collection[str] = ()) -> dict[str, Any]:
    """One model's entry for one task. Raises ResultsError for a metric named like one of the entry's keys.

    Args:
        fractional: the metrics that can give other scores than 0 and 1, even if this model has none such.
    """
    clash = RESERVED & log.metrics.keys()
    if clash:
        raise ResultsError(
            log.path, f"a metric cannot be named '{min(clash)}'", remedy="rename it in the task"
        )
    others, letters = _other_intervals(log, fractional), letter_bias(log)
    log = log.having()
    scores, control, blank = log.scores(), log.shuffled_scores(), log.blank_scores()
    shares = log.primary in fractional
    gain = None
    if control:
        gain = statistics.difference_interval(scores, control, log.images, fractional=shares)
    return {metric: rounded(value) for metric, value in log.metrics.items()} | {
        log.primary: rounded(sum(scores) / len(scores)),
        "origin": log.origin,
        "metric": log.primary,
        "n": len(scores),
        "images": None if log.images is None else log.images.count,
        "fractional": shares,
        "lower_is_better": log.lower_is_better,
        "interval": _bounds(statistics.score_interval(scores, log.images, fractional=shares)),
        "shuffled": rounded(sum(control) / len(control)) if control else None,
        "shuffles": len(log.shuffled),
        "blank": rounded(sum(blank) / len(blank)) if blank else None,
        "majority": rounded(log.majority.get(log.primary)),
        "right_minus_shuffled": rounded((sum(scores) - sum(control)) / len(scores)) if control else None,
        "right_minus_shuffled_interval": _bounds(gain),
        "intervals": others,
        "parts": _parts(log, scores, control, shares),
        "letters": letters,
        "judged": [asdict(each) for each in log.judged],
    }


def summarise_models(models: Sequence[ModelLogs]) -> dict[str, dict[str, dict[str, Any]]]:
    """The entries of all models, by name and task."""
    known = fractional_metrics(models)
    entries = {
        model.name: {
            task: summarise_task(log, {metric for where, metric in known if where == task})
            for task, log in model.tasks.items()
        }
        for model in models
    }
    correct_for_all(entries)
    return entries


def _summarise_perplexity(log: PerplexityLog) -> dict[str, Any]:
    return {
        "paper": rounded(log.paper),
        "corpus": rounded(log.corpus),
        "outliers": log.outliers,
        "n": log.n,
        "skipped": log.skipped,
        "interval": _bounds(log.interval),
        "shuffled": rounded(log.shuffled),
        "bits_per_character": rounded(log.bits),
    }


def summarise_perplexities(
    models: Mapping[str, Mapping[str, PerplexityLog]],
) -> dict[str, dict[str, dict[str, Any]]]:
    """The entries of models' perplexities, by name and set."""
    return {
        name: {key: _summarise_perplexity(log) for key, log in logs.items()} for name, logs in models.items()
    }


def default_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of models that a report tests: those of ``PAPER_PAIRS``, else all of a few models.

    A run of the paper's family is tested as in the paper, because every further test costs power.
    """
    family = [pair for pair in PAPER_PAIRS if set(pair) <= set(names)]
    if family or len(names) > MOST_ALL_PAIRS:
        return family
    return list(itertools.combinations(model_order(names), 2))


def _untested(pairs: Sequence[tuple[str, str]], models: int) -> list[str]:
    """Which pairs were tested, if not all of them."""
    if len(pairs) == models * (models - 1) // 2:
        return []
    if not pairs:
        return [
            f"No models are tested against each other: {models} models have too many pairs (at most "
            f"{MOST_ALL_PAIRS} are all tested). Choose some with: ndino compare RUN --models A B"
        ]
    shown = ", ".join(f"{a} with {b}" for a, b in pairs)
    return [f"Tested against each other: {shown}. Other pairs: ndino compare RUN --models A B"]


def build_summary(run: RunLogs, *, pairs: Sequence[tuple[str, str]] | None = None) -> dict[str, Any]:
    """Build the summary of a run that `read_run` has read and checked.

    ``pairs`` names the models to test against each other, by default those of `default_pairs`; then a note
    says which are not tested. Raises ResultsError if a pair names a model that was not evaluated.
    """
    notes = list(run.notes)
    if pairs is None:
        pairs = default_pairs(list(run.models))
        notes += _untested(pairs, len(run.models))
    for name in itertools.chain.from_iterable(pairs):
        if name not in run.models:
            known = ", ".join(model_order(list(run.models)))
            raise ResultsError(run.folder, f"model {name} was not evaluated", remedy=f"choose from {known}")
    # All tests of a report are one family, so those of perplexity are corrected with the others.
    perplexity_tests = compare_perplexities(run.perplexity, pairs)
    return {
        "models": summarise_models([run.models[name] for name in model_order(list(run.models))]),
        "perplexity": summarise_perplexities(
            {name: run.perplexity[name] for name in model_order(list(run.perplexity))}
        ),
        "perplexity_tests": perplexity_tests,
        "tests": compare_pairs(
            [(run.models[a], run.models[b]) for a, b in pairs],
            perplexity_figures(perplexity_tests),
        ),
        "notes": notes,
        "seconds": {step: rounded(seconds) for step, seconds in run.seconds.items()},
        "peak_rss_mb": rounded(run.peak_rss_mb),
    }
