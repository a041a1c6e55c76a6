"""Write the README.md of a data folder: its contents, their origin, and what was left out."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from ndino.common.markdown import coefficient, one_cell, table
from ndino.common.parsing import parse_yaml
from ndino.data.framework.quality import BINS


@cache
def sources() -> dict[str, dict[str, str]]:
    """Title, URL and licence of every source, by the part of a row's ``source`` before the first ``/``."""
    return parse_yaml((files("ndino.data.framework") / "sources.yaml").read_text(encoding="utf-8"))


def card(manifest: dict[str, Any]) -> str:
    """The card of a merged or mixed folder as Markdown, with the metadata block that the hub reads."""
    counted = manifest["rows"]["sources"]
    origins = sorted({name.partition("/")[0] for name in counted} or {manifest["source"]})
    parts = [
        f"---\nlanguage: {json.dumps(manifest['lang'])}\ntask_categories: [image-text-to-text]\n---\n",
        f"# {manifest['source']}\n",
        f"{manifest['rows']['total']:,} rows in `data.jsonl`, {manifest['images']:,} images in `images`.\n",
        _table(("source", "rows"), counted.items()),
        *(_origin(name) for name in origins),
    ]
    if len(languages := manifest.get("languages", {})) > 1:
        rows = [(lang, source, count) for lang, its in languages.items() for source, count in its.items()]
        parts.insert(4, _table(("language", "source", "rows"), rows))
    if manifest.get("translator"):
        translators = manifest["translator"]
        translators = translators if isinstance(translators, list) else [translators]
        parts.append(f"Translated by {', '.join(f'`{one}`' for one in translators)}.\n")
    if manifest.get("quality"):
        parts += _quality(manifest["quality"])
    if manifest.get("rejects"):
        parts.append("Left out, row by row in `rejects.jsonl`:\n")
        parts.append(_table(("reason", "count"), manifest["rejects"].items()))
    if len(rates := manifest.get("pass_rates", {})) > 1:
        parts.append("Of rows and what was left out, by source:\n")
        parts.append(
            _table(
                ("source", "passed"), ((name, f"{one['passed_percent']} %") for name, one in rates.items())
            )
        )
    if manifest.get("review"):
        parts.append("\n".join(["What people said of a sample:\n", *review_lines(manifest["review"])]) + "\n")
    if manifest.get("inputs"):
        parts.append("Made from:\n")
        identities = ((item["file"], item.get("sha256", "")) for item in manifest["inputs"])
        parts.append(_table(("file", "sha256"), identities))
    parts.append(f"Settings: `{json.dumps(manifest['settings'], ensure_ascii=False)}`\n")
    return "\n".join(parts)


def review_lines(review: dict[str, Any]) -> list[str]:
    """A review (`ndino.data.review.verdicts.review_of`) as Markdown: acceptance by source, and agreement."""
    counted = [*review["sources"].items(), ("all, each source by its rows", review["total"])]
    rows = [
        [
            one_cell(source),
            *(f"{counts[key]:,}" for key in ("judged", "accepted", "unsure")),
            "–" if counts["acceptance"] is None else f"{counts['acceptance']:.1%}",
            "{:.1%} to {:.1%}".format(*counts["interval"]),
        ]
        for source, counts in counted
    ]
    header = ("source", "judged", "accepted", "cannot say", "acceptance", "95 % interval")
    agreement = [
        f"{' and '.join(map(one_cell, two['reviewers']))}: the same verdict on {two['same']:,} of "
        f"{two['rows']:,} rows{_kappa(two['kappa'])}"
        for two in review["agreement"]
    ]
    return [*table(header, rows), *(["", *agreement] if agreement else [])]


def _kappa(kappa: float | None) -> str:
    return "" if kappa is None else f", Cohen's kappa {coefficient(kappa)}"


def _quality(quality: dict[str, Any]) -> list[str]:
    bins = [f"{place / BINS:.1f}" for place in range(BINS)]
    counted = (
        (source, f"{one['mean']:.3f}", *(f"{count:,}" for count in one["histogram"]))
        for source, one in quality["sources"].items()
    )
    scorers = quality["scorer"] if isinstance(quality["scorer"], list) else [quality["scorer"]]
    return [
        f"Quality of the translations by {', '.join(f'`{scorer}`' for scorer in scorers)}: the mean of the "
        f"rows, and how many have a score from 0.0, 0.1, ... A row's is that of its weakest part.\n",
        "\n".join(table(("source", "mean", *bins), counted)) + "\n",
    ]


def _origin(name: str) -> str:
    known = sources().get(name)
    return (
        f"**{known['title']}**: {known['url']}. Licence: {known['licence']}\n" if known else f"**{name}**\n"
    )


def _table(header: tuple[str, ...], rows: Any) -> str:
    return "\n".join(table(header, ([_cell(value) for value in row] for row in rows))) + "\n"


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else one_cell(str(value))
