"""Widening: each ``<image>`` id of a prompt repeated once for every feature of its image.

Prompts and stored samples hold a single id for each image. The model wants one for each feature, since the
vision tower's features replace these ids in the sequence of embeddings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def token_repeats(ids: Sequence[int], image_token_id: int, feature_counts: Iterable[int]) -> list[int]:
    """How often each of ``ids`` is repeated: its image's number of features, or 1 for a text token.

    Args:
        ids: a prompt with one ``image_token_id`` for each image.
        feature_counts: the images' numbers of features, in order. Those left over are ignored: a sample
            that was cut to the context length may have lost its last images.

    Raises:
        ValueError: ``ids`` has more image tokens than ``feature_counts`` has values.
    """
    counts = iter(feature_counts)
    try:
        return [next(counts) if token == image_token_id else 1 for token in ids]
    except StopIteration:
        raise ValueError(f"{list(ids).count(image_token_id)} image tokens but fewer images") from None


def widen_image_tokens(ids: Sequence[int], image_token_id: int, feature_counts: Iterable[int]) -> list[int]:
    """``ids`` with every image token repeated; see `token_repeats` for arguments and errors."""
    repeats = token_repeats(ids, image_token_id, feature_counts)
    return [token for token, times in zip(ids, repeats, strict=True) for _ in range(times)]
