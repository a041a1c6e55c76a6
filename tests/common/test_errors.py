from __future__ import annotations

from ndino.common.errors import reason_of


def test_a_reason_is_one_line():
    assert reason_of(ValueError("two\n  lines ")) == "two lines"
    assert reason_of(KeyboardInterrupt()) == "KeyboardInterrupt"
