"""Numbers that a translation keeps or loses."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from ndino.data.translation.kept_numbers import lost_number


@given(st.text(max_size=200))
@example("1,,2 3.٣ 1.000,5 1'000'000.25")
def test_no_number_of_a_text_is_lost_in_itself(text: str) -> None:
    assert lost_number(text, text) is None


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=6), st.sampled_from([",", ".", " ", "'", "\u202f"])
)
def test_thousands_are_read_with_any_separator(numbers: list[int], mark: str) -> None:
    english = "; ".join(f"{number:,}" for number in numbers)
    other = "; ".join(f"{number:,}".replace(",", mark) for number in reversed(numbers))
    assert lost_number(english, other) is None
    plain = "; ".join(map(str, numbers))
    assert lost_number(plain, other) is None


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6, unique=True), st.data())
def test_a_missing_number_is_detected(numbers: list[int], data: st.DataObject) -> None:
    left_out = data.draw(st.sampled_from(numbers))
    target = " e ".join(str(number) for number in numbers if number != left_out)
    assert lost_number(" and ".join(map(str, numbers)), target) is not None
