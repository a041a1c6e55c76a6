"""How often does a paired test call two equal models different, and how often does it find a real difference?

    python -m benchmarks.type_one_error                 a minute or two on one core
    python -m benchmarks.type_one_error --runs 1000

Prints a table of all candidates, and a line of JSON for the test that the project uses: ``ratio`` is the
highest rate of false alarms of a design, ``goal`` what it may be at most, ``equal`` whether all are in range;
``designs`` has the rate of false alarms (``type_one``) and of found differences (``power``) of each, in
fractions. The difference to be found is 2.8 standard errors, which a perfect test
finds in 80 % of comparisons. The exit code is 1 if false alarms are outside 4 to 6 % at a level of 5 %.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks.bench.result import print_result
from benchmarks.type_one_error.candidates import CANDIDATES
from benchmarks.type_one_error.designs import Design, gqa_like, one_question_per_image, pope_like, simulate
from ndino.common.markdown import table
from ndino.results.statistics import ALPHA

CORRELATIONS = (0.0, 0.1, 0.3)
EFFECT = 2.8  # standard errors
USED = "sign-flip, mid-p"
LOWEST, HIGHEST = 0.04, 0.06
SEED = 20241126


def designs() -> list[tuple[Design, float]]:
    """The simulated benchmarks; the correlation does nothing where an image has one question."""
    return [
        (design, correlation)
        for design in (pope_like(), gqa_like(), one_question_per_image())
        for correlation in CORRELATIONS
    ]


def rates(design: Design, correlation: float, difference: float, *, runs: int) -> dict[str, float]:
    """The share of comparisons that each candidate calls different."""
    counts = simulate(design, correlation, difference, runs=runs, seed=SEED)
    return {name: float((test(counts) < ALPHA).mean()) for name, test in CANDIDATES.items()}


def measure(design: Design, correlation: float, *, runs: int) -> dict[str, Any]:
    difference = EFFECT * design.standard_error(correlation)
    equal = rates(design, correlation, 0.0, runs=runs)
    unequal = rates(design, correlation, difference, runs=runs)
    return {
        "name": f"{design.name}, correlation {correlation:g}",
        "images": len(design.sizes),
        "questions": int(design.sizes.sum()),
        "difference": round(difference, 4),
        "type_one": equal[USED],
        "power": unequal[USED],
        "candidates": {name: {"type_one": equal[name], "power": unequal[name]} for name in CANDIDATES},
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=4000, help="comparisons a design (default: %(default)s)")
    options = parser.parse_args()
    found = [measure(*each, runs=options.runs) for each in designs()]
    rows = [
        [
            entry["name"],
            *(f"{100 * c['type_one']:.1f} / {100 * c['power']:.0f}" for c in entry["candidates"].values()),
        ]
        for entry in found
    ]
    print(*table(["false alarms / power, in %", *CANDIDATES], rows), sep="\n")
    held = all(LOWEST <= entry["type_one"] <= HIGHEST for entry in found)
    print_result(
        "type_one_error",
        ratio=max(entry["type_one"] for entry in found),
        goal=HIGHEST,
        equal=held,
        conditions={
            "measure": f"highest share of false alarms of a design, {USED} at a level of {ALPHA}",
            "runs": options.runs,
        },
        more={"designs": found},
        packages=("numpy", "scipy"),
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
