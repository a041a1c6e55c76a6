"""Texts of any length in batches of a bounded number of tokens, with little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# The shortest text of a batch has at least this share of the longest's tokens. This limits padding, and a
# text that loops is stopped by a limit that fits its length.
NARROWEST = 0.85


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Split the indices of ``lengths``, longest first, into batches of at most ``budget`` padded tokens.

    A text that is longer than the budget is a batch of its own. In a batch, no text has less than
    ``NARROWEST`` of the tokens of the longest.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = lengths[batch[0]] if batch else 0
        if longest * (len(batch) + 1) > budget or lengths[position] < NARROWEST * longest:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
