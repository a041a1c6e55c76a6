from __future__ import annotations

import io
import sys

import pytest

from ndino.evaluation import progress
from ndino.evaluation.progress import patience, reading


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_file_gets_fewer_updates_than_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "__stderr__", Terminal())
    assert patience() < 1
    monkeypatch.setattr(sys, "__stderr__", io.StringIO())
    assert patience() >= 10


@pytest.mark.parametrize(("silent", "shown"), [(False, True), (True, False)])
def test_the_reading_of_images_is_shown_on_the_real_standard_error(monkeypatch, silent, shown):
    real, swallowed = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", real)
    monkeypatch.setattr(sys, "stderr", swallowed)
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0)
    assert list(reading("abc", silent=silent)) == ["a", "b", "c"]
    assert ("Reading images" in real.getvalue()) is shown
    assert swallowed.getvalue() == ""


def test_what_is_quick_shows_no_bar(monkeypatch):
    real = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", real)
    assert len(list(reading(range(5), silent=False))) == 5
    assert real.getvalue() == ""
