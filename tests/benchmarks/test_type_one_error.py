"""The simulation: its data have the correlation it says, and the used test holds where McNemar's does not."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from benchmarks.type_one_error import __main__ as simulation
from benchmarks.type_one_error.candidates import CANDIDATES, eliasziw_donner, yang
from benchmarks.type_one_error.designs import Counts, gqa_like, one_question_per_image, pope_like, simulate


def test_the_designs_are_those_of_the_benchmarks():
    pope, gqa, single = pope_like(), gqa_like(), one_question_per_image()
    assert (len(pope.sizes), pope.sizes.sum(), pope.repeats.sum()) == (500, 5127, 9000)
    assert (len(gqa.sizes), gqa.sizes.sum()) == (398, 12_578)
    assert (single.sizes == 1).all()


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_differences_have_the_spread_that_the_correlation_gives(correlation):
    design = pope_like()
    counts = simulate(design, correlation, 0.0, runs=400, seed=1)
    means = (counts.first - counts.second).sum(axis=1) / 5127
    assert means.std() == pytest.approx(design.standard_error(correlation), rel=0.1)
    moved = simulate(design, correlation, 0.03, runs=400, seed=1)
    assert ((moved.first - moved.second).sum(axis=1) / 5127).mean() == pytest.approx(0.03, abs=0.005)


def test_corrections_by_hand():
    """Two images of two questions: on one, the first model wins both; on the other, the second wins one."""
    first, second = np.array([[2.0, 0.0]]), np.array([[0.0, 1.0]])
    counts = Counts(np.zeros((1, 2)), first, second, 2 - first - second, np.array([[2.0, 1.0]]))
    # (2 - 1)^2 / (2^2 + 1^2) on one degree of freedom
    assert yang(counts)[0] == pytest.approx(0.6547, abs=1e-4)
    assert 0 < eliasziw_donner(counts)[0] <= 1


def test_the_used_test_holds_and_mcnemars_does_not():
    entry = simulation.measure(gqa_like(), 0.3, runs=300)
    assert entry["type_one"] < 0.09 and 0.7 < entry["power"] < 0.9
    assert entry["candidates"]["McNemar"]["type_one"] > 0.4
    assert list(entry["candidates"]) == list(CANDIDATES)


def test_the_command_prints_the_designs_as_json(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["type_one_error", "--runs", "40"])
    simulation.main()
    designs = json.loads(capsys.readouterr().out.splitlines()[-1])["designs"]
    assert len(designs) == 9 and all({"name", "type_one", "power"} <= set(design) for design in designs)
