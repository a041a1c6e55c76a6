"""What a table is, and how numbers are written in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ndino.common.markdown import percent

Verdict = Literal["sees", "blind", "no control", ""]
Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A number as text, the lines below it, the verdict on the image, and than which models it is better.

    ``better_than`` gives the cell an asterisk; in a cell about two models it names the worse one. ``strong``:
    the number stands out.
    """

    score: str
    details: tuple[str, ...] = ()
    verdict: Verdict = ""
    better_than: tuple[str, ...] = ()
    strong: bool = True

    @property
    def starred(self) -> bool:
        return bool(self.better_than)


@dataclass(frozen=True)
class Column:
    name: str
    note: str = ""


@dataclass(frozen=True)
class ReportTable:
    """A table in plain data.

    ``corner`` heads the column of row names. ``rows`` are (name, cells) with one cell or None per column.
    ``legend`` explains the cells, one paragraph per entry.
    """

    key: str
    title: str
    corner: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    legend: tuple[str, ...]


def arrow(entry: Mapping[str, Any]) -> str:
    """Whether more or less of an entry's metric is better."""
    return "↓" if entry["lower_is_better"] else "↑"


def about_images(images: int | None, questions: int) -> str:
    """What to add to a number of questions, if some of them are about the same image."""
    return f" about {images} images" if images is not None and images < questions else ""


def percent_interval(bounds: Sequence[float]) -> str:
    return f"[{percent(bounds[0])}, {percent(bounds[1])}]"


def perplexity_number(value: float) -> str:
    """Format a perplexity: two decimals below 100, none above, scientific notation from a million."""
    if value < 100:
        return f"{value:.2f}"
    return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"


def p_number(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
