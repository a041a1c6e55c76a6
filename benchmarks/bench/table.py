"""The rows of the table: what a benchmark printed as JSON, or why it did not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

# Of these, the smaller the better: the name of a line, or of one of its ratios.
SMALLER = {"convert", "evaluate, bf16", "memory", "type_one_error"}


@dataclass(frozen=True)
class BenchRow:
    """One line of the table; ``reached`` is None where there is no goal."""

    name: str
    ratio: str
    goal: str
    reached: bool | None
    conditions: str


def lines_of(printed: str) -> Iterator[dict[str, Any]]:
    """The results among what a benchmark printed: lines of JSON with a name and a ratio."""
    for line in printed.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and {"name", "ratio", "goal", "equal"} <= value.keys():
            yield value


def rows_of(result: dict[str, Any]) -> Iterator[BenchRow]:
    """A row for each ratio of a result; it is reached only if the two sides also gave equal results."""
    ratios, goals = result["ratio"], result["goal"]
    if not isinstance(ratios, dict):
        ratios, goals = {"": ratios}, {"": goals}
    for part, ratio in ratios.items():
        goal = goals.get(part) if isinstance(goals, dict) else goals
        name = result["name"] + (f": {part}" if part else "")
        reached = None
        if goal is not None:
            better = ratio is not None and (
                ratio <= goal if {result["name"], part} & SMALLER else ratio >= goal
            )
            reached = better and bool(result["equal"])
        yield BenchRow(name, _number(ratio), _number(goal), reached, _conditions(result))


def missing_row(module: str, reason: str) -> BenchRow:
    """The row of a benchmark that printed no result."""
    return BenchRow(module, "–", "–", False, f"did not run: {reason}")


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _conditions(result: dict[str, Any]) -> str:
    """What was measured and on what, and that results differ where they do; details stay in the log."""
    held = result.get("conditions") or {}
    told = [str(held[name]) for name in ("measure", "machine", "device") if name in held]
    if "load" in held:
        told.append(f"load {held['load']} on {held['cores']} cores")
    return "; ".join([*told, *(() if result["equal"] else ("results differ",))])


def table(rows: Iterable[BenchRow]) -> str:
    """The rows as a Markdown table."""
    marks = {True: "yes", False: "no", None: "–"}
    lines = ["| benchmark | ratio | goal | reached | conditions |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (row.name, row.ratio, row.goal, marks[row.reached], row.conditions)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)
