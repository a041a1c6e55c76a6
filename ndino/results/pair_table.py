"""The table of paired tests: what distinguishes the models of a pair, by task and by set of answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ndino.results.comparison import tests_of_family
from ndino.results.statistics import ALPHA
from ndino.results.table_data import (
    Cell,
    Column,
    ReportTable,
    Summary,
    about_images,
    p_number,
    percent,
    perplexity_number,
)
from ndino.results.verdicts import but_doubtful, loser, winner

Pair = tuple[str, str]


def pair_table(summary: Summary, tasks: Iterable[str], sets: Iterable[str]) -> ReportTable | None:
    """Tasks and sets of answers by tested pairs; None if nothing was tested.

    Args:
        tasks, sets: those that there may be, in the order of the rows.
    """
    scores, perplexities = summary["tests"], summary.get("perplexity_tests", ())
    pairs = list(dict.fromkeys((row["a"], row["b"]) for row in (*scores, *perplexities)))
    by_task = {(row["task"], row["a"], row["b"]): _score_cell(summary, row) for row in scores}
    by_set = {(row["set"], row["a"], row["b"]): _perplexity_cell(row) for row in perplexities}
    rows = [
        *_rows(by_task, tasks, pairs, "{}"),
        *_rows(by_set, sets, pairs, "Perplexity of {}"),
    ]
    if not rows:
        return None
    columns = tuple(Column(f"{a} vs {b}") for a, b in pairs)
    legend = tuple(_legend(summary))
    return ReportTable("pairs", "Do the models of a pair differ?", "Task", columns, tuple(rows), legend)


def _rows(
    cells: Mapping[tuple[str, str, str], Cell], names: Iterable[str], pairs: list[Pair], title: str
) -> list[tuple[str, tuple[Cell | None, ...]]]:
    found = {name: tuple(cells.get((name, *pair)) for pair in pairs) for name in names}
    return [(title.format(name.upper()), row) for name, row in found.items() if any(row)]


def _score_cell(summary: Summary, row: Mapping[str, Any]) -> Cell:
    better = winner(summary, row)
    if better is None:
        limit = row["detectable"]
        bound = "too few differing questions to say" if limit is None else f"±{percent(limit)}"
        judged = [f"no difference shown ({bound})"]
    else:
        doubtful = but_doubtful(summary["models"][better][row["task"]])
        judged = [f"* {better} is better", *filter(None, [doubtful])]
    counted = f"{row['questions']} questions{about_images(row['images'], row['questions'])}"
    details = (
        *judged,
        f"uncorrected {p_number(row['p'])}, {counted}",
        f"paper: {p_number(row['paper']['p'])}, {row['paper']['test']}",
        f"only {row['a']}: {row['n10']}, only {row['b']}: {row['n01']} of {row['n']}",
    )
    return Cell(p_number(row["p_holm"]), details, better_than=() if better is None else (loser(row, better),))


def _perplexity_cell(row: Mapping[str, Any]) -> Cell:
    corpus, paper, bits = row["corpus"], row["paper"], row["bits"]
    better = None
    if corpus["p_holm"] < ALPHA and corpus["ratio"] != 1:
        better = row["a"] if corpus["ratio"] < 1 else row["b"]
    counted = f"{row['n']} answers{about_images(row['images'], row['n'])}"
    low, high = corpus["interval"]
    details = [
        "no difference shown" if better is None else f"* {better} is lower",
        f"{perplexity_number(corpus['ratio'])} times [{perplexity_number(low)}, {perplexity_number(high)}]",
        f"uncorrected {p_number(corpus['p'])}, {counted}",
    ]
    if bits is not None:
        details.append(f"bits per character {_change(bits)}")
    if paper is not None:
        details.append(f"paper's mean {_change(paper)}, {p_number(paper['p_holm'])}")
    return Cell(
        p_number(corpus["p_holm"]),
        tuple(details),
        better_than=() if better is None else (loser(row, better),),
    )


def _change(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['difference']:+.3g} [{low:+.3g}, {high:+.3g}]".replace("-", "−")


def _legend(summary: Summary) -> Iterable[str]:
    yield (
        "On top: p of a sign-flip test over images (mid-p), in which the same question about the same image "
        f"counts once, Holm-corrected over {tests_of_family(summary)}; * marks p < {ALPHA} and names the "
        "better model."
    )
    if summary["tests"]:
        yield (
            "no difference shown is not “equal”: ± is the true difference, in points, that this test would "
            "have shown with a probability of 80 %."
        )
        yield (
            "paper: McNemar's test as in the paper, over all rows, uncorrected (permutation: for fractional "
            "scores). “only A: 10”: A alone was right, or scored better, in 10 rows."
        )
    if summary.get("perplexity_tests"):
        yield (
            "Perplexity: the first model's corpus perplexity as a multiple of the second's, then the first "
            "minus the second in bits per character and in the paper's mean; below 1 or 0, the first "
            "is better."
        )
