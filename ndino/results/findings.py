"""Summarise a run's results in a few sentences, for the top of the page and the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndino.common.markdown import percent
from ndino.results.table_data import Summary, about_images, p_number, perplexity_number
from ndino.results.verdicts import but_doubtful, verdict_of, winner

# Shares of answers in another language than the task's, and from which sum on they are worth a sentence.
OTHERWISE, TOLD_FROM = ("in_english", "in_other_language"), 0.05


def findings(summary: Summary) -> list[str]:
    """Say what the figures show, for a reader who reads nothing else."""
    entries = [
        (name, task, entry) for name, tasks in summary["models"].items() for task, entry in tasks.items()
    ]
    judged = [row for row in entries if verdict_of(row[2]) in ("sees", "blind")]
    sentences = []
    if judged:
        seeing = [row for row in judged if verdict_of(row[2]) == "sees"]
        sentences.append(
            f"{len(seeing)} of {len(judged)} scores measurably depend on the image; the other "
            f"{len(judged) - len(seeing)} show no measurable gain from it (blind)."
        )
        if seeing:
            name, task, entry = max(seeing, key=lambda row: row[2]["right_minus_shuffled"])
            gain = percent(entry["right_minus_shuffled"], signed=True)
            sentences.append(
                f"The image helps {name} on {task.upper()} most: {gain} points over shuffled images."
            )
    for a, b in dict.fromkeys((row["a"], row["b"]) for row in summary["tests"]):
        rows = [row for row in summary["tests"] if (row["a"], row["b"]) == (a, b)]
        won, lost = (
            [
                " ".join([row["task"].upper(), but_doubtful(summary["models"][better][row["task"]])]).rstrip()
                for row in rows
                if winner(summary, row) == better
            ]
            for better in (b, a)
        )
        parts = [
            f"{word} on {len(tasks)} ({'; '.join(tasks)})"
            for word, tasks in (("better", won), ("worse", lost))
            if tasks
        ]
        verdict = " and ".join(parts) if parts else "no difference shown"
        noun = "task" if len(rows) == 1 else "tasks"
        sentences.append(f"{b} against {a} on {len(rows)} {noun}: {verdict}.")
    for key in dict.fromkeys(key for sets in summary["perplexity"].values() for key in sets):
        corpus = {name: sets[key]["corpus"] for name, sets in summary["perplexity"].items() if key in sets}
        best = min(corpus, key=corpus.__getitem__)
        value = perplexity_number(corpus[best])
        sentences.append(
            f"Lowest perplexity on the answers of {key.upper()}: {best} ({value} over all answer tokens)."
        )
    for name, task, entry in entries:
        if sum(entry.get(metric, 0) for metric in OTHERWISE) >= TOLD_FROM:
            sentences.append(
                f"{name} gives {percent(entry['in_english'])} % of its answers to {task.upper()} in English, "
                f"and {percent(entry['in_other_language'])} % in another language that was not asked for."
            )
    sentences += map(_perplexity_sentence, summary.get("perplexity_tests", ()))
    return [*sentences, *(f"Note: {note}" for note in summary["notes"])]


def _perplexity_sentence(row: Mapping[str, Any]) -> str:
    """What a paired test of two perplexities says, in both of their forms."""
    shown = []
    low, high = row["corpus"]["interval"]
    shown.append(
        f"over all answer tokens {row['corpus']['ratio']:.3g} times ({low:.3g} to {high:.3g}; "
        f"{p_number(row['corpus']['p_holm'])})"
    )
    if row["paper"] is not None:
        low, high = row["paper"]["interval"]
        shown.append(
            f"by the paper's mean {row['paper']['difference']:+.3g} ({low:+.3g} to {high:+.3g}; "
            f"{p_number(row['paper']['p_holm'])})"
        )
    if row["bits"] is not None:
        low, high = row["bits"]["interval"]
        shown.append(f"in bits per character {row['bits']['difference']:+.3g} ({low:+.3g} to {high:+.3g})")
    where = f"{row['n']} answers{about_images(row['images'], row['n'])}"
    models = f"{row['a']} against {row['b']} on {row['set'].upper()}"
    return f"Perplexity of {models} ({where}): {', '.join(shown)}."
