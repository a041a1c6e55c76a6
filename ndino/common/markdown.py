"""Markdown tables of finished cells, for the report and the cards of data sets and models; shares as text.

pytablewriter was looked at for this. It reads numbers back out of text (2.50 becomes 2.5), escapes cells that
are Markdown already, and pads every cell to the widest of its column, in the report several lines of details.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table. The cells are Markdown; plain text goes through `one_cell` first."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def one_cell(text: str) -> str:
    """Plain text as a cell that ends neither its column nor its row."""
    return " ".join(text.splitlines()).replace("|", "\\|")


def percent(fraction: float, *, signed: bool = False) -> str:
    """Format a fraction as percent with one decimal and a typographic minus sign."""
    value = round(100 * fraction, 1) + 0.0  # turns -0.0 into 0.0
    return f"{value:{'+' if signed else ''}.1f}".replace("-", "−")


def coefficient(value: float, interval: Sequence[float] | None = None) -> str:
    """Format a coefficient such as kappa, and its interval: ``−0.04 [−0.10, 0.02]``."""
    shown = f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # 0.0 turns -0.0 into 0.0
    return shown if interval is None else f"{shown} [{', '.join(map(coefficient, interval))}]"
