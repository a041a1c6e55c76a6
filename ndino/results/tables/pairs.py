"""The tables of paired tests: what distinguishes the models of a pair, by task and by set of answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ndino.common.markdown import percent
from ndino.results.comparison import tests_of_family
from ndino.results.statistics import ALPHA
from ndino.results.table_data import (
    Cell,
    Column,
    ReportTable,
    Summary,
    about_images,
    p_number,
    perplexity_number,
)
from ndino.results.verdicts import but_doubtful, loser, winner

Pair = tuple[str, str]
PAIRS, TITLE = "pairs", "Do the models of a pair differ?"
PERPLEXITY_OF = "Perplexity of {}"
# Pairs beside each other in one table: as many as the paper's. More would not fit a page or a terminal.
MOST_BESIDE = 3
SCORE_COLUMNS = ("p", "better", "uncorrected", "paper's test", "only first", "only second")
PERPLEXITY_COLUMNS = ("p", "lower", "times", "uncorrected", "bits per character", "paper's mean")
# What a pair's table says of a test that shows nothing, in a cell and, where there are many pairs, in a line.
NOT_SHOWN, NONE_SHOWN = "no difference shown", "none shown"


def pair_tables(summary: Summary, tasks: Iterable[str], sets: Iterable[str]) -> list[ReportTable]:
    """What was tested: a few pairs beside each other in one table; of more, a table for each task and set.

    Args:
        tasks, sets: those that there may be, in the order of the rows or of the tables.
    """
    scores, perplexities = summary["tests"], summary.get("perplexity_tests", ())
    pairs = list(dict.fromkeys((row["a"], row["b"]) for row in (*scores, *perplexities)))
    if len(pairs) > MOST_BESIDE:
        return _tables_of_many(summary, tasks, sets)
    by_task = {(row["task"], row["a"], row["b"]): _score_cell(summary, row) for row in scores}
    by_set = {(row["set"], row["a"], row["b"]): _perplexity_cell(row) for row in perplexities}
    rows = [
        *_rows(by_task, tasks, pairs, "{}"),
        *_rows(by_set, sets, pairs, PERPLEXITY_OF),
    ]
    if not rows:
        return []
    columns = tuple(Column(f"{a} vs {b}") for a, b in pairs)
    legend = (
        f"On top: {_corrected(summary)}",
        *_score_legend(summary, NOT_SHOWN),
        *_perplexity_legend(summary),
    )
    return [ReportTable(PAIRS, TITLE, "Task", columns, tuple(rows), legend)]


def _tables_of_many(summary: Summary, tasks: Iterable[str], sets: Iterable[str]) -> list[ReportTable]:
    """Pairs by figures of one line each, so that the 28 of eight models fit a page."""
    scores, perplexities = summary["tests"], summary.get("perplexity_tests", ())
    found = [
        *(_lines(scores, "task", name, partial(_score_line, summary), SCORE_COLUMNS, "{}") for name in tasks),
        *(
            _lines(perplexities, "set", name, _perplexity_line, PERPLEXITY_COLUMNS, PERPLEXITY_OF)
            for name in sets
        ),
    ]
    tables = [table for table in found if table.rows]
    # Said once for all of them.
    legend = (_corrected(summary), *_score_legend(summary, NONE_SHOWN), *_perplexity_legend(summary))
    return [
        replace(table, key=f"{PAIRS}-{number}", legend=legend if number == len(tables) else ())
        for number, table in enumerate(tables, start=1)
    ]


def _lines(
    tests: Iterable[Mapping[str, Any]],
    key: str,
    name: str,
    line: Callable[[Mapping[str, Any]], tuple[Cell, ...]],
    columns: Iterable[str],
    title: str,
) -> ReportTable:
    found = [row for row in tests if row[key] == name]
    counted = " or ".join(dict.fromkeys(_questions(row) if key == "task" else _answers(row) for row in found))
    return ReportTable(
        PAIRS,
        f"{TITLE} {title.format(name.upper())} ({counted})",
        "first vs second",
        tuple(map(Column, columns)),
        tuple((f"{row['a']} vs {row['b']}", line(row)) for row in found),
        (),
    )


def _rows(
    cells: Mapping[tuple[str, str, str], Cell], names: Iterable[str], pairs: list[Pair], title: str
) -> list[tuple[str, tuple[Cell | None, ...]]]:
    found = {name: tuple(cells.get((name, *pair)) for pair in pairs) for name in names}
    return [(title.format(name.upper()), row) for name, row in found.items() if any(row)]


def _score_cell(summary: Summary, row: Mapping[str, Any]) -> Cell:
    better = winner(summary, row)
    details = (
        f"{NOT_SHOWN} ({_bound(row)})" if better is None else f"* {better} is better",
        *_doubt(summary, row, better),
        f"uncorrected {p_number(row['p'])}, {_questions(row)}",
        f"paper: {p_number(row['paper']['p'])}, {row['paper']['test']}",
        f"only {row['a']}: {row['n10']}, only {row['b']}: {row['n01']} of {row['n']}",
    )
    return Cell(p_number(row["p_holm"]), details, better_than=_beaten(row, better))


def _score_line(summary: Summary, row: Mapping[str, Any]) -> tuple[Cell, ...]:
    better = winner(summary, row)
    shown = better or f"{NONE_SHOWN} ({_bound(row)})"
    said = Cell(shown, _doubt(summary, row, better), strong=better is not None)
    paper = f"{_number(row['paper']['p'])}, {row['paper']['test']}"
    counts = (f"{row['n10']} of {row['n']}", f"{row['n01']} of {row['n']}")
    return (_corrected_cell(row, better, row["p_holm"]), said, *_plain(_number(row["p"]), paper, *counts))


def _doubt(summary: Summary, row: Mapping[str, Any], better: str | None) -> tuple[str, ...]:
    """Why the better score may be no evidence, if anything is."""
    doubtful = "" if better is None else but_doubtful(summary["models"][better][row["task"]])
    return (doubtful,) if doubtful else ()


def _beaten(row: Mapping[str, Any], better: str | None) -> tuple[str, ...]:
    return () if better is None else (loser(row, better),)


def _corrected_cell(row: Mapping[str, Any], better: str | None, p: float) -> Cell:
    return Cell(_number(p), better_than=_beaten(row, better))


def _plain(*texts: str) -> tuple[Cell, ...]:
    return tuple(Cell(text, strong=False) for text in texts)


def _number(p: float) -> str:
    """A p-value under a head that says what it is."""
    return p_number(p).removeprefix("p ").removeprefix("= ")


def _bound(row: Mapping[str, Any]) -> str:
    """The true difference that a test would have shown, in points."""
    limit = row["detectable"]
    return "too few differing questions to say" if limit is None else f"±{percent(limit)}"


def _questions(row: Mapping[str, Any]) -> str:
    return f"{row['questions']} questions{about_images(row['images'], row['questions'])}"


def _lower(row: Mapping[str, Any]) -> str | None:
    """The model whose corpus perplexity is lower; None if no difference is shown."""
    corpus = row["corpus"]
    if corpus["p_holm"] >= ALPHA or corpus["ratio"] == 1:
        return None
    return row["a"] if corpus["ratio"] < 1 else row["b"]


def _perplexity_cell(row: Mapping[str, Any]) -> Cell:
    corpus, paper, bits = row["corpus"], row["paper"], row["bits"]
    better = _lower(row)
    details = [
        NOT_SHOWN if better is None else f"* {better} is lower",
        f"{perplexity_number(corpus['ratio'])} times {_ratio_interval(row)}",
        f"uncorrected {p_number(corpus['p'])}, {_answers(row)}",
    ]
    if bits is not None:
        details.append(f"bits per character {_change(bits)}")
    if paper is not None:
        details.append(f"paper's mean {_change(paper)}, {p_number(paper['p_holm'])}")
    return Cell(
        p_number(corpus["p_holm"]),
        tuple(details),
        better_than=_beaten(row, better),
    )


def _perplexity_line(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    corpus, paper, bits = row["corpus"], row["paper"], row["bits"]
    better = _lower(row)
    texts = (
        f"{perplexity_number(corpus['ratio'])} {_ratio_interval(row)}",
        _number(corpus["p"]),
        "–" if bits is None else _change(bits),
        "–" if paper is None else f"{_change(paper)}, {p_number(paper['p_holm'])}",
    )
    said = Cell(better or NONE_SHOWN, strong=better is not None)
    return (_corrected_cell(row, better, corpus["p_holm"]), said, *_plain(*texts))


def _answers(row: Mapping[str, Any]) -> str:
    return f"{row['n']} answers{about_images(row['images'], row['n'])}"


def _ratio_interval(row: Mapping[str, Any]) -> str:
    low, high = row["corpus"]["interval"]
    return f"[{perplexity_number(low)}, {perplexity_number(high)}]"


def _change(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['difference']:+.3g} [{low:+.3g}, {high:+.3g}]".replace("-", "−")


def _corrected(summary: Summary) -> str:
    return (
        "p of a sign-flip test over images (mid-p), in which the same question about the same image "
        f"counts once, Holm-corrected over {tests_of_family(summary)}; * marks p < {ALPHA} and names the "
        "better model."
    )


def _score_legend(summary: Summary, not_shown: str) -> tuple[str, ...]:
    if not summary["tests"]:
        return ()
    return (
        f"{not_shown} is not “equal”: ± is the true difference, in points, that this test would "
        "have shown with a probability of 80 %.",
        "paper: McNemar's test as in the paper, over all rows, uncorrected (permutation: for fractional "
        "scores). “only A: 10”: A alone was right, or scored better, in 10 rows.",
    )


def _perplexity_legend(summary: Summary) -> tuple[str, ...]:
    if not summary.get("perplexity_tests"):
        return ()
    return (
        "Perplexity: the first model's corpus perplexity as a multiple of the second's, then the first "
        "minus the second in bits per character and in the paper's mean; below 1 or 0, the first "
        "is better.",
    )
