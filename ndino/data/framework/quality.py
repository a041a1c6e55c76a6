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


def scorer_of(folders: Mapping[str, Mapping[str, Any]], *, threshold: bool) -> Any:
    """The scorer of all these folders' rows, a list for several; None where no row has a score.

    Args:
        folders: the manifest of each folder.
        threshold: rows are left out by their scores.

    Raises:
        UsageError: with ``threshold``, a translated folder has no scores, or two have scores of different
            scorers, which one threshold cannot divide.
    """
    scorers = {
        folder: manifest["quality"]["scorer"]
        for folder, manifest in folders.items()
        if manifest.get("quality")
    }
    listed = {folder: one if isinstance(one, list) else [one] for folder, one in scorers.items()}
    distinct = sorted({one for some in listed.values() for one in some})
    if threshold:
        without = [
            folder for folder, one in folders.items() if one.get("translator") and folder not in scorers
        ]
        if without or not distinct:
            named = " and ".join(without or folders)
            raise UsageError(
                f"--min-quality: {named} {'has' if len(without or folders) == 1 else 'have'} no scores "
                "(remedy: build with --quality, or mix without --min-quality)"
            )
        if len(distinct) > 1:
            told = "; ".join(f"{folder} by {' and '.join(some)}" for folder, some in listed.items())
            raise UsageError(
                f"--min-quality: the folders were scored in different ways: {told} "
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
