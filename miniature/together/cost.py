"""The tables of a demo in several languages: what they cost each other, and what text without images does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from miniature.together.variants import alone, together, with_text
from ndino.common.files import write_text
from ndino.common.markdown import percent, table
from ndino.languages.language import code_of_task, language
from ndino.results.table_data import Summary, perplexity_number
from ndino.results.tables import tasks_in_order
from ndino.results.verdicts import winner

LONG = "llava-bench-{lang}"


def write_tables(out: Path, codes: Sequence[str]) -> Path:
    """Write the tables beside the report of the demo in ``out``, and return their file."""
    path = out / "report" / "together.md"
    summary = json.loads((out / "report" / "summary.json").read_text(encoding="utf-8"))
    parts = [*(line for code in codes for line in cost_of(summary, code, codes)), *fidelity(summary, codes)]
    write_text(path, "\n".join(parts) + "\n")
    return path


def cost_of(summary: Summary, code: str, codes: Sequence[str]) -> Iterator[str]:
    """The scores of a language's tasks with the model of this language alone and with that of all."""
    one, all_of_them = alone(code).name, together(codes).name
    yield f"**{language(code).name}: alone and together**\n"
    rows = [
        _scores(summary, task, one, all_of_them)
        for task in tasks_in_order(summary)
        if code_of_task(task) == code
    ]
    for name in summary["perplexity"][one]:
        if code_of_task(name) == code:
            shown = (
                perplexity_number(summary["perplexity"][model][name]["corpus"])
                for model in (one, all_of_them)
            )
            rows.append([f"perplexity on {name.upper()}", *shown, ""])
    yield from table(["", f"alone ({one})", f"together ({all_of_them})", "difference"], rows)
    yield ""


def fidelity(summary: Summary, codes: Sequence[str]) -> Iterator[str]:
    """In which language long answers are: in the languages whose images a model saw, and in the others."""
    first, *others = codes
    models = [alone(first).name, with_text(codes).name, together(codes).name]
    seen = language(first).name
    yield f"**Long answers: images in {seen} alone, and with text in the others; images in all**\n"
    rows = []
    for code in (*others, first):
        for model in models:
            entry = summary["models"][model][LONG.format(lang=code)]
            shares = ("in_language", "in_english", "in_other_language", "language_undecided", "chrf")
            rows.append([language(code).name, model, *(percent(entry[share]) for share in shares)])
    header = ["asked in", "model", "in its language", "English", "other", "undecided", "chrF"]
    yield from table(header, rows)


def _scores(summary: Summary, task: str, one: str, other: str) -> list[str]:
    entries = {model: summary["models"][model][task] for model in (one, other)}
    scores = {model: entry[entry["metric"]] for model, entry in entries.items()}
    tests = (row for row in summary["tests"] if row["task"] == task and {row["a"], row["b"]} == {*scores})
    clear = any(winner(summary, row) for row in tests)
    difference = percent(scores[other] - scores[one], signed=True) + (" *" if clear else "")
    return [task.upper(), percent(scores[one]), percent(scores[other]), difference]
