"""How much of each benchmark a data set shows, from the files that `ndino data leaks` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ndino.common.options import need_file
from ndino.common.parsing import read_json
from ndino.data.errors import DataError

KEYS = ("images", "exact", "near", "possible", "rows", "rows_seen")


@dataclass(frozen=True)
class SeenBenchmark:
    """What ``data`` shows of a benchmark.

    Attributes:
        exact, near, possible: how many of its images are shown with equal pixels, nearly equal, or possibly.
        questions_seen: of its questions, those about exact and near images.
    """

    data: str
    name: str
    images: int
    exact: int
    near: int
    possible: int
    questions: int
    questions_seen: int

    @property
    def seen(self) -> int:
        return self.exact + self.near


def seen_benchmarks(files: Sequence[Path]) -> list[SeenBenchmark]:
    """What the leaks files say, in their order.

    Raises:
        UsageError: a file does not exist.
        DataError: it is none of `ndino data leaks`.
    """
    found = []
    for file in files:
        need_file(file, "name the .json that ndino data leaks wrote")
        try:
            content = read_json(file)
            for name, counts in content["benchmarks"].items():
                numbers = (int(counts[key]) for key in KEYS)
                found.append(SeenBenchmark(str(content["data"]), name, *numbers))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}: is no file of ndino data leaks: {error!r} (remedy: run ndino data leaks again)"
            ) from error
    return found
