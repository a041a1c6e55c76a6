"""Simulated benchmarks: how many questions each image has, and how two models differ on them.

On a question, the first model alone is right (+1), the second alone (-1), or neither (0). These differences
come from a normal variable with a part that the questions of an image share; it is cut at two thresholds. The
size of the shared part gives the differences of two questions about one image the wanted correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from scipy import optimize, stats

DISCORDANT = 0.2  # share of questions that one model alone gets right, if the two are equal
BOTH_RIGHT = 0.7  # share of the others that both get right
_RUNS_AT_ONCE = 100


@dataclass(frozen=True)
class Design:
    """A benchmark: ``sizes`` is (images,) of int, the different questions about each image.

    ``repeats`` is (questions,) of int: how often a question, with its image, stands in the data.
    """

    name: str
    sizes: np.ndarray
    repeats: np.ndarray

    @cached_property
    def starts(self) -> np.ndarray:
        """The first question of each image: (images,) of int."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    def standard_error(self, correlation: float) -> float:
        """Of the mean difference over the different questions, if the models are equal."""
        pairs = (self.sizes * (self.sizes - 1)).sum()
        questions = self.sizes.sum()
        return float(np.sqrt(DISCORDANT * (questions + correlation * pairs)) / questions)


def pope_like() -> Design:
    """POPE: 500 images, 9,000 rows of which 5,127 differ, as each part repeats every "yes" question."""
    absent = np.full(500, 7)
    absent[:127] = 8
    repeats = [[3] * 3 + [2] * (9 - each) + [1] * (2 * each - 9) for each in absent.tolist()]
    return Design("POPE-like", 3 + absent, np.concatenate(repeats))


def gqa_like() -> Design:
    """GQA's test-dev part: 12,578 questions about 398 images, unevenly spread."""
    weights = np.random.default_rng(0).gamma(4.0, size=398)
    sizes = np.maximum(1, np.floor(weights * 12_578 / weights.sum()).astype(int))
    sizes[np.argsort(-weights)[: 12_578 - sizes.sum()]] += 1
    return Design("GQA-like", sizes, np.ones(sizes.sum(), dtype=int))


def one_question_per_image(images: int = 562) -> Design:
    """As EXAMS-V's Italian test part, of 562 sheets."""
    return Design("one question per image", np.ones(images, dtype=int), np.ones(images, dtype=int))


@dataclass(frozen=True)
class Counts:
    """Simulated comparisons: questions of each image on which both models are right, only the first, only the
    second, and none, each (runs, images) of float; ``rows`` is (runs, 2): rows that only the first, and only
    the second gets right, with all repeats.
    """

    both: np.ndarray
    first: np.ndarray
    second: np.ndarray
    none: np.ndarray
    rows: np.ndarray


def simulate(design: Design, correlation: float, difference: float, *, runs: int, seed: int) -> Counts:
    """Compare two models ``runs`` times, whose true scores differ by ``difference``."""
    draw = np.random.default_rng(seed)
    shared = shared_part(correlation)
    cut = float(stats.norm.ppf(1 - DISCORDANT / 2))
    shift = _shift(difference)
    parts = [
        _some_runs(design, shared, cut, shift, min(_RUNS_AT_ONCE, runs - start), draw)
        for start in range(0, runs, _RUNS_AT_ONCE)
    ]
    return Counts(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _some_runs(
    design: Design, shared: float, cut: float, shift: float, runs: int, draw: np.random.Generator
) -> tuple[np.ndarray, ...]:
    images = draw.standard_normal((runs, len(design.sizes)), dtype=np.float32)
    values = draw.standard_normal((runs, design.sizes.sum()), dtype=np.float32)
    values *= np.sqrt(1 - shared)
    values += np.sqrt(shared) * np.repeat(images, design.sizes, axis=1) + shift
    first, second = values > cut, values < -cut
    # Whether both are right on the others depends on the image just as much.
    images = draw.standard_normal(images.shape, dtype=np.float32)
    ease = draw.standard_normal(values.shape, dtype=np.float32)
    ease *= np.sqrt(1 - shared)
    ease += np.sqrt(shared) * np.repeat(images, design.sizes, axis=1)
    both = (ease < stats.norm.ppf(BOTH_RIGHT)) & ~first & ~second
    by_image = [
        np.add.reduceat(each, design.starts, axis=1, dtype=float)
        for each in (both, first, second, ~(both | first | second))
    ]
    rows = np.stack([each @ design.repeats for each in (first, second)], axis=1)
    return (*by_image, rows)


@lru_cache(maxsize=8)
def shared_part(correlation: float) -> float:
    """The shared part of the normal variable's variance that gives the differences this correlation."""
    if correlation == 0:
        return 0.0
    cut = stats.norm.ppf(1 - DISCORDANT / 2)

    def off(part: float) -> float:
        pair: Any = stats.multivariate_normal(cov=np.array([[1.0, part], [part, 1.0]]))  # pyright: ignore
        below, mixed = pair.cdf([-cut, -cut]), stats.norm.cdf(-cut) - pair.cdf([-cut, cut])
        return float(2 * (below - mixed) / DISCORDANT - correlation)

    return float(optimize.root_scalar(off, bracket=(1e-6, 0.999), xtol=1e-4).root)


def _shift(difference: float) -> float:
    """The mean of the normal variable that gives a mean difference of this size."""
    cut = stats.norm.ppf(1 - DISCORDANT / 2)
    if difference == 0:
        return 0.0

    def off(mean: float) -> float:
        return float(stats.norm.sf(cut - mean) - stats.norm.cdf(-cut - mean) - difference)

    return float(optimize.root_scalar(off, bracket=(0.0, 3.0)).root)
