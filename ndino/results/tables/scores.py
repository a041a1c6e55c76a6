"""Tables of scores and of perplexities, models by tasks: the cells of the paper's Tables 5 to 7."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ndino.common.markdown import coefficient, percent
from ndino.results.comparison import tests_of_family
from ndino.results.statistics import ALPHA
from ndino.results.summary import RESERVED, model_order
from ndino.results.table_data import (
    Cell,
    Column,
    ReportTable,
    Summary,
    about_images,
    arrow,
    percent_interval,
    perplexity_number,
)
from ndino.results.tables.groups import perplexity_sets, tasks_in_order
from ndino.results.verdicts import but_doubtful, starred_scores, verdict_of

PERPLEXITY = "Table 7: perplexity"
METRIC_NAMES = {
    "exact_match": "exact match",
    "seed_image": "exact match",
    "pope_accuracy": "accuracy",
    "chrf": "chrF",
    "in_language": "in its language",
}
# Metrics that count; all others are shares.
COUNTS = {"words"}
# The metrics that say in which language long answers are, and what a cell calls them.
LANGUAGE_SHARES = {
    "in_language": "in its language",
    "in_english": "English",
    "in_other_language": "other",
    "language_undecided": "undecided",
}


def score_cell(entry: Mapping[str, Any], better_than: tuple[str, ...]) -> Cell:
    details = [percent_interval(entry["interval"])]
    if entry["shuffled"] is not None:
        gain, bounds = entry["right_minus_shuffled"], entry["right_minus_shuffled_interval"]
        several = f" (mean of {entry['shuffles']})" if entry["shuffles"] > 1 else ""
        details += [
            f"shuffled {percent(entry['shuffled'])}{several}",
            f"{percent(gain, signed=True)} {percent_interval(bounds)}",
        ]
    if entry["blank"] is not None:
        details.append(f"blank {percent(entry['blank'])}")
    if LANGUAGE_SHARES.keys() <= entry.keys():
        shares = ", ".join(f"{name} {percent(entry[metric])}" for metric, name in LANGUAGE_SHARES.items())
        details.append(f"answers: {shares}")
    details += map(_judged_text, entry["judged"])
    if better_than:
        details.append(f"* better than {', '.join(better_than)}")
        details += filter(None, [but_doubtful(entry)])
    return Cell(percent(entry[entry["metric"]]), tuple(details), verdict_of(entry), better_than)


def _judged_text(judged: Mapping[str, Any]) -> str:
    if judged["kappa"] is None:
        agreement = "not checked"
    else:
        agreement = f"kappa {coefficient(judged['kappa'], judged['kappa_interval'])}"
    unread = f", {judged['unreadable']} unreadable" if judged["unreadable"] else ""
    shown = f"{percent(judged['mean'])} {percent_interval(judged['interval'])}"
    return f"judged {shown} by {judged['judge']} ({agreement}{unread})"


def _task_column(summary: Summary, task: str) -> Column:
    entry = next(entries[task] for entries in summary["models"].values() if task in entries)
    return Column(f"{task.upper()} {arrow(entry)}", column_note(entry))


def column_note(entry: Mapping[str, Any]) -> str:
    """What stands below a task's name: its metric, how many questions about how many images, the majority."""
    majority = "unknown" if entry["majority"] is None else percent(entry["majority"])
    metric = METRIC_NAMES.get(entry["metric"], entry["metric"].replace("_", " "))
    shared = about_images(entry["images"], entry["n"])
    return f"{metric}, n = {entry['n']}{shared}, majority {majority}"


def score_legend(summary: Summary) -> tuple[str, ...]:
    """How to read a table of scores."""
    entries = [entry for tasks in summary["models"].values() for entry in tasks.values()]
    controlled = any(entry["shuffled"] is not None for entry in entries)
    lines = [
        "Each cell: the score in percent, and its 95 % confidence interval, over images where they are known."
    ]
    if controlled:
        lines.append(
            "shuffled: the score when every question gets another question's image, then the gain over it in "
            "points with its interval. sees: that interval lies above 0. blind: it does not, so the score is "
            "no evidence that the model looks at the image, however high it is. no control: not run."
        )
    else:
        lines.append("no control: the shuffled control was not run.")
    if any(entry["blank"] is not None for entry in entries):
        lines.append("blank: the score with a grey image in place of each.")
    down = ", ↓ that lower is" if any(entry["lower_is_better"] for entry in entries) else ""
    lines.append(
        "n: questions, the same for every model. majority: the score for always giving the most common "
        f"answer. ↑ means higher is better{down}."
    )
    if summary["tests"]:
        lines.append(
            "* names the models than which this one is better: a sign-flip test over images, with "
            f"p < {ALPHA} after Holm's correction over {tests_of_family(summary)}. “but blind”, “not above "
            "majority”: the better score is no evidence of seeing better, or of having learned the task."
        )
    return tuple(lines)


def score_table(summary: Summary, key: str, title: str, tasks: Iterable[str]) -> ReportTable | None:
    """Models by tasks; None if no model answered any of these tasks."""
    found = tasks_in_order(summary)
    tasks = list(tasks)
    present = [task for task in tasks if task in found]
    if not present:
        return None
    starred = starred_scores(summary)
    rows = tuple(
        (
            name,
            tuple(
                score_cell(entries[task], starred.get((name, task), ())) if task in entries else None
                for task in present
            ),
        )
        for name, entries in summary["models"].items()
        if any(task in entries for task in present)
    )
    legend = score_legend(summary)
    present_entries = [
        entries[task] for entries in summary["models"].values() for task in present if task in entries
    ]
    if any(LANGUAGE_SHARES.keys() <= entry.keys() for entry in present_entries):
        legend += (
            "answers: the shares of long ones in the task's language, in English and in another, and "
            "undecided where that cannot be told. Answers of a word or two are not judged, here or in other "
            "tasks: they are too little to tell a language by.",
        )
    if any(entry["judged"] for entry in present_entries):
        legend += (
            "judged: the mean verdict of a language model on each answer, with its interval, read from texts "
            "alone, without the image. kappa: that judge's agreement with labelled answers beyond chance "
            "(`ndino judge check`); not checked: not measured. Never compare verdicts of different judges.",
        )
    if any(entry["metric"] == "circular" for entry in present_entries):
        legend += (
            "circular: a question is right if it is answered rightly in all rotations of its options. n then "
            "counts questions, and tests are over them.",
        )
    missing = [task.upper() for task in tasks if task not in found]
    if missing:
        legend += (f"Not run: {', '.join(missing)}.",)
    return ReportTable(
        key, title, "Model", tuple(_task_column(summary, task) for task in present), rows, legend
    )


def perplexity_cell(entry: Mapping[str, Any]) -> Cell:
    corpus = f"corpus {perplexity_number(entry['corpus'])}"
    if entry["interval"] is not None:
        low, high = entry["interval"]
        corpus += f" [{perplexity_number(low)}, {perplexity_number(high)}]"
    skipped = f", {entry['skipped']} skipped" if entry["skipped"] else ""
    details = [corpus, f"{entry['outliers']} of {entry['n']} outliers{skipped}"]
    if entry["bits_per_character"] is not None:
        details.append(f"{entry['bits_per_character']:.3g} bits per character")
    if entry["shuffled"] is not None:
        details.append(f"shuffled {perplexity_number(entry['shuffled'])}")
    return Cell("⋄" if entry["paper"] is None else perplexity_number(entry["paper"]), tuple(details))


def perplexity_table(summary: Summary) -> ReportTable | None:
    """Table 7: models by answer sets; None if no perplexity was measured."""
    sets = perplexity_sets(summary)
    if not sets:
        return None
    legend = (
        "How well a model predicts the reference answers; lower is better (↓), and style counts more than "
        "correctness. On top: the paper's mean over the answers, without outliers above 1,000 (⋄: all are). "
        "corpus: over all answer tokens, with its 95 % confidence interval. skipped: could not be scored; "
        "the set's JSONL file says why. shuffled: the corpus figure when each answer gets another question's "
        "image. Only answers that every model of a set scored are counted.",
    )
    rows = tuple(
        (name, tuple(perplexity_cell(entries[key]) if key in entries else None for key in sets))
        for name, entries in summary["perplexity"].items()
    )
    columns = tuple(Column(f"{name.upper()} ↓", "perplexity of the answer") for name in sets)
    return ReportTable("table-7", PERPLEXITY, "Model", columns, rows, legend)


def more_metrics_table(summary: Summary) -> ReportTable | None:
    """All metrics except the primary ones: (task, metric) by models; None if there are none."""
    models, tasks = summary["models"], tasks_in_order(summary)
    lines: dict[tuple[str, str], dict[str, Cell]] = {}
    for name, entries in models.items():
        for task in tasks:
            entry = entries.get(task, {})
            for metric in entry.keys() - RESERVED - {entry.get("metric")}:
                bounds, value = entry["intervals"].get(metric), entry[metric]
                if metric in COUNTS or not 0 <= value <= 1:
                    text = f"{value:.2f}"
                    interval = bounds and f"[{bounds[0]:.2f}, {bounds[1]:.2f}]"
                else:
                    text, interval = percent(value), bounds and percent_interval(bounds)
                details = (interval,) if interval else ()
                lines.setdefault((task, metric), {})[name] = Cell(text, details)
    if not lines:
        return None
    names = model_order(list(models))
    order = sorted(lines, key=lambda line: (tasks.index(line[0]), line[1]))
    rows = tuple(
        (f"{task.upper()} {metric.replace('_', ' ')}", tuple(lines[task, metric].get(name) for name in names))
        for task, metric in order
    )
    legend = (
        "In percent, with 95 % confidence intervals where they can be computed from the single answers. "
        "robust: the score when accents, articles, number words and the form of an option letter are "
        "ignored. contains: the answer holds the right one among other words. substring: the same by "
        "MTVQA's own rule, as VLMEvalKit computes it. first sentence: POPE's own rule, by which an answer is "
        "a no if its first sentence denies anything. unparseable: answers in which no option letter, or no "
        "yes or no, can be found; they count as wrong. words: how many an answer has, on average. plain: the "
        "score in the data's own order of options. robust plus: both questions about an image are right.",
    )
    return ReportTable(
        "more", "Other metrics of the same answers", "Metric", tuple(map(Column, names)), rows, legend
    )
