"""Markdown tables of finished cells, for the report and for the cards of data sets and models.

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
