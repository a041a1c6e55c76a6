"""A benchmark's last line is one that `make bench` reads, and names what it ran on."""

from __future__ import annotations

import torch

from benchmarks.bench.result import print_result
from benchmarks.bench.table import lines_of


def test_the_line_is_read_by_make_bench_and_names_the_machine(capsys):
    print_result("n", ratio=2.0, goal=1.5, equal=True, conditions={"turns": 3}, packages=("torch",))
    (result,) = lines_of(capsys.readouterr().out)
    assert (result["name"], result["ratio"], result["goal"], result["equal"]) == ("n", 2.0, 1.5, True)
    assert result["conditions"].keys() == {"turns", "torch", "python", "machine", "load", "cores"}
    assert result["conditions"]["torch"] == torch.__version__
