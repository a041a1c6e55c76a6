"""Numbers in the table that ``ndino evaluate`` prints."""

from __future__ import annotations

import pytest

from ndino.evaluation.commands.score_table import cell


@pytest.mark.parametrize(
    "gain, shown",
    [
        *((gain, "+0.0") for gain in (0.0, -0.0, 0.3 - (0.1 + 0.2), 0.0004, -0.0004)),
        *((0.125, "+12.5"), (-0.125, "-12.5")),
        (None, ""),
    ],
)
def test_a_gain_is_signed_and_no_zero_is_negative(gain, shown):
    assert cell(gain, signed=True) == shown


def test_a_share_has_no_sign():
    assert [cell(share) for share in (0.5, -0.0, None)] == ["50.0", "0.0", ""]
