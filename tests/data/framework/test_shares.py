"""Whole numbers of rows by weight and by the sizes of languages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ndino.data.framework.shares import apportion, by_size


@given(
    st.integers(1, 10_000),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 3000), min_size=1),
    st.floats(0, 1),
)
def test_languages_share_by_a_power_of_their_size(total, sizes, alpha):
    parts = by_size(total, sizes, alpha)
    assert parts.keys() == sizes.keys() and sum(parts.values()) == min(total, sum(sizes.values()))
    assert all(0 <= parts[lang] <= size for lang, size in sizes.items())
    scale = [(parts[lang] - 1) / size**alpha for lang, size in sizes.items()]
    # All languages that have rows left got c * n ** alpha of them; a whole one would have got more.
    for lang, size in sizes.items():
        if parts[lang] < size:
            assert (parts[lang] + 1) / size**alpha >= max(scale)


def test_equal_and_proportional_languages():
    sizes = {"it": 900, "es": 90, "ca": 10}
    assert by_size(100, sizes, 1) == {"it": 90, "es": 9, "ca": 1}
    assert by_size(30, sizes, 0) == {"it": 10, "es": 10, "ca": 10}
    assert by_size(310, sizes, 0) == {"it": 210, "es": 90, "ca": 10}
    assert apportion(10, {"a": 1, "b": 1, "c": 1}) == {"a": 4, "b": 3, "c": 3}
