"""The conversion of a ZeRO checkpoint; tests/train/test_ranks.py resumes from a converted one."""

from __future__ import annotations

import pytest

from ndino.train.resuming.universal import make_universal
from ndino.train.stage import StageError


def test_a_conversion_that_fails_leaves_nothing_and_says_what_to_do(tmp_path):
    (tmp_path / "global_step4").mkdir()
    (tmp_path / "global_step4" / "zero_pp_rank_0_mp_rank_00_optim_states.pt").write_bytes(b"torn")
    with pytest.raises(StageError, match="remedy: resume on the number of ranks that wrote it"):
        make_universal(tmp_path)
    assert not (tmp_path / "global_step4_universal").exists() and not (tmp_path / "latest_universal").exists()


def test_what_was_converted_before_is_used(tmp_path):
    (tmp_path / "global_step4").mkdir()
    (tmp_path / "global_step4_universal").mkdir()
    make_universal(tmp_path)
    assert (tmp_path / "latest_universal").read_text() == "global_step4_universal"
