"""Whole numbers of rows by weight: of sources, and of the languages of a source by their sizes."""

from __future__ import annotations

from collections.abc import Mapping


def apportion(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """``total`` in whole parts proportional to ``weights``: what rounding leaves, to the largest rests."""
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    parts = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: (parts[name] - exact[name], name))[
        : total - sum(parts.values())
    ]:
        parts[name] += 1
    return parts


def by_size(total: int, sizes: Mapping[str, int], alpha: float) -> dict[str, int]:
    """``total`` rows, fewer if there are not so many, of languages with ``sizes`` rows.

    Language l gets ``min(n_l, c * n_l ** alpha)``, with the c that makes the sum ``total``: no row is taken
    twice, and what a small language lacks goes to the others by the same rule.

    Args:
        alpha: 1 for the languages as they are, 0 for equally many of each.
    """
    left, parts, rest = min(total, sum(sizes.values())), {}, dict(sizes)
    while rest:
        shares = apportion(left, {name: size**alpha for name, size in rest.items()})
        whole = [name for name, size in rest.items() if shares[name] >= size]
        if not whole:
            return parts | shares
        for name in whole:
            parts[name] = rest.pop(name)
            left -= parts[name]
    return parts
