"""Text that a translation must not change."""

from __future__ import annotations

import pytest

from ndino.data.translation.placeholders import PLACEHOLDER


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Look at <image> and </b>.", ["<image>", "</b>"]),
        ("{name} is %s years, {} %d%", ["{name}", "%s", "{}", "%d"]),
        ("See https://example.org/a?b=1. Then go.", ["https://example.org/a?b=1"]),
        ("Write to (me.too@example.org)!", ["me.too@example.org"]),
        ("3 < 5 > 2, a { b }, 5 % of it, @home", []),
        ("<two words>", []),
    ],
)
def test_placeholders(text: str, found: list[str]) -> None:
    assert PLACEHOLDER.findall(text) == found


def test_it_can_be_put_into_another_expression() -> None:
    assert PLACEHOLDER.groups == 0
