"""How far verdicts agree with labels: whether an answer is right, over all rows and by their kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ndino.results.statistics import f1_score, wilson_interval
from ndino.results.statistics.clusters import cluster_interval

RIGHT = 1.0
Interval = tuple[float, float]


@dataclass(frozen=True)
class JudgeAgreement:
    """Of verdicts with labels. An answer is right or it is not: half right is not, on both sides.

    A verdict that could not be read agrees with no label, and calls no answer right.

    Attributes:
        rows: how many.
        unreadable: verdicts that could not be read.
        agreement: share of rows with the label's decision.
        three_levels: share of rows with the label itself: 0, 0.5 or 1.
        precision, recall, f1: of the answers that were called right.
        kappa: Cohen's.
        agreement_interval, kappa_interval: 95 %: Wilson's, and a bootstrap over rows.
    """

    rows: int
    unreadable: int
    agreement: float
    agreement_interval: Interval
    three_levels: float
    precision: float
    recall: float
    f1: float
    kappa: float
    kappa_interval: Interval


def agreement_of(labels: Sequence[float], verdicts: Sequence[float | None]) -> JudgeAgreement:
    """Compare verdicts (0, 0.5, 1, or None where unreadable) with labels; raises ValueError without rows."""
    pairs = list(zip(labels, verdicts, strict=True))
    if not pairs:
        raise ValueError("no rows to compare")
    same = [agrees(label, verdict) for label, verdict in pairs]
    hits = sum(label == RIGHT and verdict == RIGHT for label, verdict in pairs)
    said = sum(verdict == RIGHT for verdict in verdicts)
    right = sum(label == RIGHT for label in labels)
    cells = np.array([_cell(label, verdict) for label, verdict in pairs], dtype=float)
    kappa = float(_kappas(cells.sum(axis=0)[None])[0])
    return JudgeAgreement(
        rows=len(pairs),
        unreadable=sum(verdict is None for verdict in verdicts),
        agreement=sum(same) / len(pairs),
        agreement_interval=wilson_interval(sum(same), len(pairs)),
        three_levels=sum(label == verdict for label, verdict in pairs) / len(pairs),
        precision=hits / said if said else 0.0,
        recall=hits / right if right else 0.0,
        f1=f1_score(hits, said - hits, right - hits),
        kappa=kappa,
        kappa_interval=cluster_interval(cells, _kappas),
    )


def agrees(label: float, verdict: float | None) -> bool:
    """Whether a verdict decides as the label does."""
    return verdict is not None and (verdict == RIGHT) == (label == RIGHT)


def _cell(label: float, verdict: float | None) -> list[int]:
    """A row of the table of labels (right, not) by verdicts (right, not, unreadable), flattened."""
    place = 2 if verdict is None else int(verdict != RIGHT)
    return [int(number == 3 * (label != RIGHT) + place) for number in range(6)]


def _kappas(sums: np.ndarray) -> np.ndarray:
    """Cohen's kappa of (draws, 6) counts as `_cell` orders them; 0 where chance alone agrees fully."""
    tables = sums.reshape(-1, 2, 3)
    rows = tables.sum(axis=(1, 2))
    observed = (tables[:, 0, 0] + tables[:, 1, 1]) / rows
    by_chance = (tables.sum(axis=2) * tables.sum(axis=1)[:, :2]).sum(axis=1) / rows**2
    return np.where(by_chance < 1, (observed - by_chance) / np.where(by_chance < 1, 1 - by_chance, 1), 0.0)
