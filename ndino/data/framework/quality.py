"""Counts of the rows' scores, by source: what a manifest and a card say about the quality of translations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ndino.common.errors import UsageError

BINS = 10  # of a tenth each; a score below 0 counts in the first, one of 1 and more in the last
BAR = 30  # signs of the longest bar


class QualityCounts:
    """Counts the scores (``quality``) of rows by source."""

    def __init__(self) -> None:
        self._bins: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add(self, source: str, row: Mapping[str, Any]) -> None:
        """Count a row; one without a score, of which nothing was translated, does not count."""
        score = row.get("quality")
        if score is not None:
            place = min(max(int(score * BINS), 0), BINS - 1)
            self._bins.setdefault(source, [0] * BINS)[place] += 1
            self._sums[source] = self._sums.get(source, 0.0) + score

    def as_json(self, scorer: Any) -> dict[str, Any]:
        """For a manifest: the scorer, and of each source the scored rows, their mean and the histogram."""
        return {
            "scorer": scorer,
            "sources": {
                source: {
                    "scored": sum(bins),
                    "mean": round(self._sums[source] / sum(bins), 3),
                    "histogram": bins,
                }
                for source, bins in sorted(self._bins.items())
            },
        }


def scorer_of(manifests: list[dict[str, Any]], *, threshold: bool) -> Any:
    """The scorer of all these folders' rows, a list for several; None where no row has a score.

    Raises:
        UsageError: with ``threshold``, a translated folder has no scores, or two have scores of different
            scorers, which one threshold cannot divide.
    """
    scorers = [manifest["quality"]["scorer"] for manifest in manifests if manifest.get("quality")]
    distinct = sorted({one for some in scorers for one in (some if isinstance(some, list) else [some])})
    if threshold:
        without = [one["source"] for one in manifests if one.get("translator") and not one.get("quality")]
        if without or not distinct:
            named = f"{' and '.join(without)} {'has' if len(without) == 1 else 'have'} no scores"
            raise UsageError(
                f"--min-quality: {named if without else 'none of the folders has scores'} "
                "(remedy: build the source with --quality)"
            )
        if len(distinct) > 1:
            raise UsageError(
                f"--min-quality: the folders were scored in different ways: {'; '.join(distinct)} "
                "(remedy: mix them apart, or build them with the same --quality)"
            )
    return distinct[0] if len(distinct) == 1 else distinct or None


def histogram_lines(quality: Mapping[str, Any]) -> Iterator[str]:
    """The histograms of a manifest's ``quality`` as text, a line a bin."""
    for source, counted in quality["sources"].items():
        yield f"{source}: quality of {counted['scored']:,} rows, mean {counted['mean']:.3f}"
        most = max(counted["histogram"])
        for place, count in enumerate(counted["histogram"]):
            bar = "█" * -(-BAR * count // most)
            yield f"  {place / BINS:.1f} to {(place + 1) / BINS:.1f} {count:>9,} {bar}".rstrip()
