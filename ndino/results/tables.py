"""The paper's Tables 5 to 7 for whatever was run, built from the summary (``ndino.results.summary``).

A table is plain data, so that Markdown, terminal and page show the same cells. Unlike in the paper every
score has its interval, the score with shuffled images, and the verdict whether the model needs the image at
all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ndino.results.statistics import ALPHA
from ndino.results.summary import RESERVED, model_order

TRANSLATED = ("gqa-it", "ok-vqa-it", "seedbench-it", "pope-it")
NATIVE = ("mtvqa-it", "exams-v-it")
# Key, title and tasks of the paper's tables of scores.
PAPER_TABLES = (
    ("table-5", "Table 5: translated benchmarks", TRANSLATED),
    ("table-6", "Table 6: native Italian benchmarks", NATIVE),
)
OTHER_TASKS = "Other tasks"
PERPLEXITY = "Table 7: perplexity"
PERPLEXITY_SETS = ("llava-bench-it", "mtvqa-it")
METRIC_NAMES = {
    "exact_match": "exact match",
    "seed_image": "exact match",
    "pope_accuracy": "accuracy",
    "chrf": "chrF",
}
COLUMNS = 4  # of a table of further tasks: what a page and a terminal can hold

Verdict = Literal["sees", "blind", "no control", ""]
Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A figure, the lines under it, and whether it is shown to come from the image."""

    score: str
    details: tuple[str, ...] = ()
    verdict: Verdict = ""
    starred: bool = False


@dataclass(frozen=True)
class Column:
    name: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """``rows`` are (name, one cell or None a column); ``legend`` explains the cells in plain English."""

    key: str
    title: str
    corner: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    legend: tuple[str, ...]


def percent(fraction: float, *, signed: bool = False) -> str:
    """A fraction in percent with one decimal and a real minus sign."""
    value = round(100 * fraction, 1) + 0.0  # no "-0.0"
    return f"{value:{'+' if signed else ''}.1f}".replace("-", "−")


def percent_interval(bounds: Sequence[float]) -> str:
    return f"[{percent(bounds[0])}, {percent(bounds[1])}]"


def perplexity_number(value: float) -> str:
    """Two decimals for small values, none for large ones, powers of ten beyond a million."""
    if value < 100:
        return f"{value:.2f}"
    return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"


def p_number(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def verdict_of(entry: Mapping[str, Any]) -> Verdict:
    """Whether right images score above shuffled ones by more than chance explains."""
    interval = entry["right_minus_shuffled_interval"]
    if interval is None:
        return "no control"
    return "sees" if interval[0] > 0 else "blind"


def tasks_of(summary: Summary) -> list[str]:
    """All tasks of the run: the paper's in its order, then the others by name."""
    found = {task for entries in summary["models"].values() for task in entries}
    return [task for task in TRANSLATED + NATIVE if task in found] + sorted(found - {*TRANSLATED, *NATIVE})


def other_tasks(summary: Summary) -> list[str]:
    """The tasks of the run that are in none of the paper's tables."""
    return [task for task in tasks_of(summary) if task not in TRANSLATED + NATIVE]


def sets_of(summary: Summary) -> list[str]:
    """All answer sets whose perplexity was measured: the paper's in its order, then the others by name."""
    found = {name for entries in summary["perplexity"].values() for name in entries}
    return [name for name in PERPLEXITY_SETS if name in found] + sorted(found - {*PERPLEXITY_SETS})


def better(summary: Summary, row: Mapping[str, Any]) -> str | None:
    """The better model of a tested pair, None when the corrected p-value does not tell them apart."""
    if row["p_holm"] >= ALPHA:
        return None
    entries = {name: summary["models"][name][row["task"]] for name in (row["a"], row["b"])}
    return max(entries, key=lambda name: entries[name][entries[name]["metric"]])


def winners(summary: Summary) -> set[tuple[str | None, str]]:
    """(model, task) of the better ones of all tested pairs."""
    return {(better(summary, row), row["task"]) for row in summary["mcnemar"]}


def _score_cell(entry: Mapping[str, Any], starred: bool) -> Cell:
    details = [percent_interval(entry["interval"])]
    if entry["shuffled"] is not None:
        gain, bounds = entry["right_minus_shuffled"], entry["right_minus_shuffled_interval"]
        details += [
            f"shuffled {percent(entry['shuffled'])}",
            f"{percent(gain, signed=True)} {percent_interval(bounds)}",
        ]
    return Cell(percent(entry[entry["metric"]]), tuple(details), verdict_of(entry), starred)


def _task_column(summary: Summary, task: str) -> Column:
    entry = next(entries[task] for entries in summary["models"].values() if task in entries)
    majority = "unknown" if entry["majority"] is None else percent(entry["majority"])
    metric = METRIC_NAMES.get(entry["metric"], entry["metric"].replace("_", " "))
    return Column(f"{task.upper()} ↑", f"{metric}, n = {entry['n']}, majority {majority}")


def _pair_names(summary: Summary) -> str:
    pairs = dict.fromkeys((row["a"], row["b"]) for row in summary["mcnemar"])
    return "; ".join(f"{a} and {b}" for a, b in pairs)


def score_legend(summary: Summary) -> tuple[str, ...]:
    """How to read a table of scores."""
    lines = [
        "A cell reads from top to bottom: the score in percent with its 95 % interval; the score of the "
        "same model on the same questions when every question gets another question's image (shuffled); "
        "what the right image adds to that, with its 95 % interval.",
        "sees: the right image raises the score. blind: the interval of the gain reaches 0, so nothing "
        "shows that the model looks at the image, however high the score is. no control: shuffled images "
        "were not run.",
        "n is the number of questions, the same for every model; majority is what always giving the "
        "commonest answer scores. ↑ means higher is better.",
    ]
    if summary["mcnemar"]:
        lines.append(
            "* marks the better one of two models that differ significantly (McNemar's test, for "
            f"fractional scores a permutation test; p < {ALPHA} after Holm's correction over all tasks). "
            f"Tested: {_pair_names(summary)}."
        )
    return tuple(lines)


def score_table(summary: Summary, key: str, title: str, tasks: Iterable[str]) -> Table | None:
    """Models by tasks; None when no model answered any of them."""
    found = tasks_of(summary)
    tasks = list(tasks)
    present = [task for task in tasks if task in found]
    if not present:
        return None
    starred = winners(summary)
    rows = tuple(
        (
            name,
            tuple(
                _score_cell(entries[task], (name, task) in starred) if task in entries else None
                for task in present
            ),
        )
        for name, entries in summary["models"].items()
        if any(task in entries for task in present)
    )
    legend = score_legend(summary)
    missing = [task.upper() for task in tasks if task not in found]
    if missing:
        legend += (f"Not run: {', '.join(missing)}.",)
    return Table(key, title, "Model", tuple(_task_column(summary, task) for task in present), rows, legend)


def _perplexity_cell(entry: Mapping[str, Any]) -> Cell:
    corpus = f"corpus {perplexity_number(entry['corpus'])}"
    if entry["interval"] is not None:
        low, high = entry["interval"]
        corpus += f" [{perplexity_number(low)}, {perplexity_number(high)}]"
    skipped = f", {entry['skipped']} skipped" if entry["skipped"] else ""
    details = [corpus, f"{entry['outliers']} of {entry['n']} outliers{skipped}"]
    if entry["shuffled"] is not None:
        details.append(f"shuffled {perplexity_number(entry['shuffled'])}")
    return Cell("⋄" if entry["paper"] is None else perplexity_number(entry["paper"]), tuple(details))


def perplexity_table(summary: Summary) -> Table | None:
    """Table 7: models by answer sets; None when no perplexity was measured."""
    sets = sets_of(summary)
    if not sets:
        return None
    legend = (
        "Perplexity says how surprised a model is by the reference answer: 1 is not at all, lower is "
        "better (↓). It measures the style of the answers more than their truth: a model taught long "
        "answers is surprised by short ones, and the reverse.",
        "First the paper's number: the mean over answers, those above 1,000 left out as outliers; ⋄ when "
        "all of them are. corpus: over all answer tokens together, nothing left out, with its 95 % "
        "interval. skipped: what could not be scored (too long, empty, no image); the set's file tells why. "
        "shuffled: corpus perplexity with another question's image; the nearer to corpus, the "
        "less the image matters.",
    )
    rows = tuple(
        (name, tuple(_perplexity_cell(entries[key]) if key in entries else None for key in sets))
        for name, entries in summary["perplexity"].items()
    )
    columns = tuple(Column(f"{name.upper()} ↓", "perplexity of the answer") for name in sets)
    return Table("table-7", PERPLEXITY, "Model", columns, rows, legend)


def pair_table(summary: Summary) -> Table | None:
    """Tasks by tested pairs; None when nothing was tested."""
    pairs = list(dict.fromkeys((row["a"], row["b"]) for row in summary["mcnemar"]))
    if not pairs:
        return None
    tests = {(row["task"], row["a"], row["b"]): row for row in summary["mcnemar"]}

    def cell(row: Mapping[str, Any] | None) -> Cell | None:
        if row is None:
            return None
        details = (
            f"only {row['a']}: {row['n10']}, only {row['b']}: {row['n01']} of {row['n']}",
            f"uncorrected {p_number(row['p'])}, {row['test']}",
        )
        return Cell(p_number(row["p_holm"]), details, starred=row["p_holm"] < ALPHA)

    tasks = [task for task in tasks_of(summary) if any((task, *pair) in tests for pair in pairs)]
    rows = tuple((task.upper(), tuple(cell(tests.get((task, *pair))) for pair in pairs)) for task in tasks)
    legend = (
        "Do two models differ by more than chance, given that they answered the same questions? Only "
        "questions that one of them got right and the other wrong count. The p-value on top is "
        f"Holm-corrected over the tasks of its pair; * marks p < {ALPHA}.",
        "exact: binomial McNemar test, for fewer than 25 such questions; chi-square: McNemar's with "
        "continuity correction; permutation: sign flips of the differences, for scores between 0 and 1 "
        "(only A: A scored higher).",
    )
    columns = tuple(Column(f"{a} or {b}") for a, b in pairs)
    return Table("pairs", "Do the models of a pair differ?", "Task", columns, rows, legend)


def more_metrics_table(summary: Summary) -> Table | None:
    """All metrics beside the primary ones: (task, metric) by models; None when there are none."""
    models = summary["models"]
    lines: dict[tuple[str, str], dict[str, Cell]] = {}
    for name, entries in models.items():
        for task in tasks_of(summary):
            entry = entries.get(task, {})
            for metric in entry.keys() - RESERVED - {entry.get("metric")}:
                bounds = entry["intervals"].get(metric)
                details = () if bounds is None else (percent_interval(bounds),)
                value = entry[metric]
                text = percent(value) if 0 <= value <= 1 else f"{value:.2f}"
                lines.setdefault((task, metric), {})[name] = Cell(text, details)
    if not lines:
        return None
    names = model_order(list(models))
    order = sorted(lines, key=lambda line: (tasks_of(summary).index(line[0]), line[1]))
    rows = tuple(
        (f"{task.upper()} {metric.replace('_', ' ')}", tuple(lines[task, metric].get(name) for name in names))
        for task, metric in order
    )
    legend = (
        "Shares in percent, with 95 % intervals where single answers tell them. robust: the same score "
        "after ignoring accents, articles, number words and the form of an option letter, so it forgives "
        "form, not content. unparseable: answers without a readable option or yes or no; they are wrong.",
    )
    return Table(
        "more", "Other metrics of the same answers", "Metric", tuple(map(Column, names)), rows, legend
    )


def build_tables(summary: Summary) -> list[Table]:
    """All tables that the run has figures for, in reading order."""
    others = other_tasks(summary)
    chunks = [others[start : start + COLUMNS] for start in range(0, len(others), COLUMNS)]
    tables = [
        *(score_table(summary, key, title, tasks) for key, title, tasks in PAPER_TABLES),
        perplexity_table(summary),
        *(
            score_table(
                summary,
                f"others-{part}",
                OTHER_TASKS + (f" ({part} of {len(chunks)})" if len(chunks) > 1 else ""),
                chunk,
            )
            for part, chunk in enumerate(chunks, start=1)
        ),
        pair_table(summary),
        more_metrics_table(summary),
    ]
    return [table for table in tables if table is not None]


def data_tables(folders: Sequence[Path]) -> list[Table]:
    """The paper's Tables 1, 2 and 4, those that the manifests of these data folders have something for.

    Raises:
        DataError: a folder has no manifest, or a broken one.
    """
    if not folders:
        return []
    from ndino.data.commands import tables

    legend = ("Counted when the data were made, from the manifests of their folders.",)
    return [
        Table(
            table.name,
            table.title,
            table.header[0],
            tuple(map(Column, table.header[1:])),
            tuple((str(row[0]), tuple(map(_count_cell, row[1:]))) for row in table.rows),
            legend,
        )
        for table in tables.data_tables(folders)
    ]


def _count_cell(value: str | int) -> Cell | None:
    return Cell(f"{value:,}" if isinstance(value, int) else value) if value != "" else None


def findings(summary: Summary) -> list[str]:
    """What the figures say, in a few sentences for a reader who stops there."""
    entries = [
        (name, task, entry) for name, tasks in summary["models"].items() for task, entry in tasks.items()
    ]
    judged = [row for row in entries if verdict_of(row[2]) != "no control"]
    sentences = []
    if judged:
        seeing = [row for row in judged if verdict_of(row[2]) == "sees"]
        sentences.append(
            f"{len(seeing)} of {len(judged)} scores need the image; for the other "
            f"{len(judged) - len(seeing)} nothing shows that the model looks at it (blind)."
        )
        if seeing:
            name, task, entry = max(seeing, key=lambda row: row[2]["right_minus_shuffled"])
            gain = percent(entry["right_minus_shuffled"], signed=True)
            sentences.append(
                f"The image helps most for {name} on {task.upper()}: {gain} points over shuffled images."
            )
    for a, b in dict.fromkeys((row["a"], row["b"]) for row in summary["mcnemar"]):
        rows = [row for row in summary["mcnemar"] if (row["a"], row["b"]) == (a, b)]
        won = [row["task"].upper() for row in rows if better(summary, row) == b]
        lost = [row["task"].upper() for row in rows if better(summary, row) == a]
        parts = [f"better on {', '.join(won)}"] * bool(won) + [f"worse on {', '.join(lost)}"] * bool(lost)
        verdict = " and ".join(parts) if parts else "not told apart on any"
        sentences.append(f"{b} against {a}: {verdict} of {len(rows)} tasks.")
    for key in dict.fromkeys(key for sets in summary["perplexity"].values() for key in sets):
        corpus = {name: sets[key]["corpus"] for name, sets in summary["perplexity"].items() if key in sets}
        best = min(corpus, key=corpus.__getitem__)
        value = perplexity_number(corpus[best])
        sentences.append(
            f"Least surprised by the answers of {key.upper()}: {best} (corpus perplexity {value})."
        )
    return sentences
