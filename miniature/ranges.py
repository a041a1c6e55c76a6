"""The lowest and highest scores of several demos, one for each seed, as the Markdown tables of the README.

for seed in 42 1; do python -m miniature.demo --seed $seed --out runs/seeds/$seed; done
python -m miniature.ranges runs/seeds/*
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ndino.common.markdown import table
from ndino.results.summary import model_order
from ndino.results.table_data import perplexity_number

COLUMNS = {
    "captions": "captions",
    "colour": "colour",
    "count": "count",
    "place": "place",
    "pope-{lang}": "POPE-{lang}",
    "seedbench-{lang}": "SEED-Bench-{lang}",
    "mtvqa-{lang}": "MTVQA-{lang}",
    "exams-v-{lang}": "EXAMS-V-{lang}",
    "llava-bench-{lang}": "LLaVA-Bench-{lang}",
}
PERPLEXITY_COLUMNS = {"llava-bench-{lang}": "long answers", "mtvqa-{lang}": "short answers"}

Summary = dict[str, Any]


class RangesError(ValueError):
    """Demos that cannot be put into one table; the message says which and what to do."""


def read_summaries(folders: Iterable[Path]) -> tuple[list[Summary], str]:
    """``report/summary.json`` of each demo, and the code of their language.

    Raises:
        RangesError: a demo without a report, without full length, or in another language or with other
            models than the first.
    """
    found: list[Summary] = []
    lang = ""
    for folder in folders:
        path, world = folder / "report" / "summary.json", folder / "data" / "world.json"
        if not (path.exists() and world.exists()):
            raise RangesError(f"no finished demo: {folder} (remedy: python -m miniature.demo --out {folder})")
        # Earlier versions made Italian worlds and did not say so.
        settings = {"lang": "it"} | json.loads(world.read_text(encoding="utf-8"))
        lang = lang or settings["lang"]
        if settings["lang"] != lang:
            raise RangesError(f"another language than in the first demo: {folder} (remedy: leave it out)")
        if settings["fast"]:
            raise RangesError(f"scores mean nothing after --fast: {folder} (remedy: leave it out)")
        found.append(json.loads(path.read_text(encoding="utf-8")))
        if found[-1]["models"].keys() != found[0]["models"].keys():
            raise RangesError(f"other models than in the first demo: {folder} (remedy: leave it out)")
    return found, lang


def columns(named: Mapping[str, str], lang: str) -> dict[str, str]:
    """The titles of columns by their tasks, in a language."""
    return {task.format(lang=lang): title.format(lang=lang) for task, title in named.items()}


def spread(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """``lowest–highest``, or one value where both are shown alike."""
    low, high = shown(min(values)), shown(max(values))
    if low == high:
        return low
    return f"{low} to {high}" if "−" in low or "+" in high else f"{low}–{high}"


def score_table(summaries: Sequence[Summary], lang: str) -> str:
    """Percent of right answers, with the gain over another image in points; last the commonest answer's."""
    rows, titles = [], columns(COLUMNS, lang)
    for model in model_order(list(summaries[0]["models"])):
        cells = []
        for task in titles:
            entries = [summary["models"][model][task] for summary in summaries]
            scores = [entry[entry["metric"]] for entry in entries]
            gains = [entry["right_minus_shuffled"] for entry in entries]
            cells.append(f"{spread(scores, _percent)} ({spread(gains, _points)})")
        rows.append([model, *cells])
    commonest = [
        [entry[task]["majority"] for summary in summaries for entry in summary["models"].values()]
        for task in titles
    ]
    rows.append(["*commonest answer*", *(spread(values, _percent) for values in commonest)])
    return "\n".join(table(["model", *titles.values()], rows))


def perplexity_table(summaries: Sequence[Summary], lang: str) -> str:
    """Perplexity over all answer tokens."""
    rows, titles = [], columns(PERPLEXITY_COLUMNS, lang)
    for model in model_order(list(summaries[0]["models"])):
        sets = [summary["perplexity"][model] for summary in summaries]
        cells = [spread([each[name]["corpus"] for each in sets], perplexity_number) for name in titles]
        rows.append([model, *cells])
    return "\n".join(table(["model", *titles.values()], rows))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m miniature.ranges",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("demos", type=Path, nargs="+", metavar="DEMO", help="folder of a finished demo")
    options = parser.parse_args(arguments)
    try:
        summaries, lang = read_summaries(options.demos)
    except RangesError as error:
        print(f"ranges: {error}", file=sys.stderr)
        return 1
    print(score_table(summaries, lang), perplexity_table(summaries, lang), sep="\n\n")
    return 0


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f}"


def _points(fraction: float) -> str:
    points = round(100 * fraction)
    return f"{points:+d}".replace("-", "−") if points else "0"


if __name__ == "__main__":
    sys.exit(main())
