"""Paired tests of models' perplexities on the answers that both scored, by image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ndino.results.comparison import rounded, significant
from ndino.results.logs.perplexity import OUTLIER, PerplexityLog, images_of
from ndino.results.statistics import mid_p
from ndino.results.statistics.clusters import Clusters, cluster_interval, ratio


def compare_perplexities(
    logs: Mapping[str, Mapping[str, PerplexityLog]], pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Test every pair on every set that both models scored; the logs are of `read_perplexities`.

    Each entry holds ``set``, ``a``, ``b``, ``n`` (answers) and ``images``, and

    - ``corpus``: ``ratio`` of a's corpus perplexity to b's with its 95 % ``interval``, and ``p`` of the
      sign-flip test over images on the answers' log-likelihoods, which any tokenizer leaves alone;
    - ``bits``: a's bits per character minus b's, with its ``interval``; null for older logs;
    - ``paper``: the mean of a's perplexities minus b's over the answers that are outliers for neither, ``n``
      of them, with ``interval`` and ``p``; null where every answer is an outlier for one.

    The tests get their ``p_holm`` with all others of a report, see `ndino.results.comparison.compare_pairs`.
    """
    return [
        _entry(name, (a, logs[a][name]), (b, logs[b][name]))
        for a, b in pairs
        for name in sorted(logs.get(a, {}).keys() & logs.get(b, {}).keys())
        if logs[a][name].scored and logs[b][name].scored
    ]


def _entry(name: str, first: tuple[str, PerplexityLog], second: tuple[str, PerplexityLog]) -> dict[str, Any]:
    (a, mine), (b, theirs) = first, second
    rows = list(mine.scored)
    pairs = [(mine.scored[row], theirs.scored[row]) for row in rows]
    images = images_of(mine, rows)
    clusters = Clusters.of(images)
    columns = [[x.nll for x, _ in pairs], [x.tokens for x, _ in pairs]]
    columns += [[y.nll for _, y in pairs], [y.tokens for _, y in pairs]]
    table = clusters.sums(*columns)

    def corpus_ratio(sums: np.ndarray) -> np.ndarray:
        return np.exp(sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3])

    characters = [x.characters for x, _ in pairs]
    bits = None
    if all(characters):
        gained = np.subtract(columns[0], columns[2]) / math.log(2)
        bits = _difference(clusters.sums(gained, characters))
    within = [place for place, (x, y) in enumerate(pairs) if max(x.perplexity, y.perplexity) <= OUTLIER]
    paper = None
    if within:
        apart = [pairs[place][0].perplexity - pairs[place][1].perplexity for place in within]
        by_image = Clusters.of([images[place] for place in within]).sums(apart, np.ones(len(within)))
        paper = {**_difference(by_image), "n": len(within), "p": significant(mid_p(by_image[:, 0]))}
    return {
        "set": name,
        "a": a,
        "b": b,
        "n": len(rows),
        "images": clusters.count,
        "corpus": {
            "ratio": rounded(corpus_ratio(table.sum(axis=0, keepdims=True))[0]),
            "interval": [*map(rounded, cluster_interval(table, corpus_ratio))],
            "p": significant(mid_p(table[:, 0] - table[:, 2])),
        },
        "bits": bits,
        "paper": paper,
    }


def _difference(table: np.ndarray) -> dict[str, Any]:
    return {
        "difference": rounded(ratio(table.sum(axis=0, keepdims=True))[0]),
        "interval": [*map(rounded, cluster_interval(table, ratio))],
    }
