"""The report of a run in ``RUN/report/``: a self-contained page, the tables in three formats, the summary."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ndino.common.files import write_text
from ndino.results import figures
from ndino.results.examples import clip, read_examples
from ndino.results.logs import RunLogs, TrainingRun, read_run
from ndino.results.render import csv_text, latex, markdown
from ndino.results.summary import build_summary
from ndino.results.tables import Summary, Table, build_tables, data_tables, findings, tasks_of, verdict_of

FACT_LENGTH = 300  # characters of a manifest's value shown
# No browser shows control characters; as they are they could end the page (NUL) or hide text.
CONTROLS = {
    code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}


@dataclass(frozen=True)
class Report:
    """What was written, and what it says. ``tables_files`` are Markdown, CSV and LaTeX."""

    page: Path
    tables_files: Sequence[Path]
    summary_file: Path
    summary: Mapping[str, Any]
    tables: Sequence[Table]
    findings: Sequence[str]


def duration(seconds: float) -> str:
    """8 min 20 s; tenths below a minute."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours} h " if hours else "") + f"{minutes} min {rest} s"


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """A manifest as (dotted name, text) lines; loss curves have their own figure."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key != "loss_curve":
                yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix in ("started", "ended") and isinstance(value, (int, float)):
        yield prefix, datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield prefix, clip(text, FACT_LENGTH)


def shared_facts(runs: Sequence[TrainingRun]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The facts that all runs have in common, and each run's own."""
    facts = {run.chain: dict(flatten(run.manifest)) for run in runs}
    if len(facts) < 2:
        return {}, facts
    first = next(iter(facts.values()))
    common = {key: text for key, text in first.items() if all(f.get(key) == text for f in facts.values())}
    own = {chain: {key: text for key, text in f.items() if key not in common} for chain, f in facts.items()}
    return common, own


def costs(run: TrainingRun) -> str:
    """Steps, time and memory of a run in one line, as far as its manifest tells them."""
    wanted = {
        "steps": lambda n: f"{n:,} steps",
        "seconds": duration,
        "peak_rss_mb": lambda mb: f"{mb:,.0f} MiB",
    }
    known = {key: run.manifest.get(key) for key in wanted}
    return " · ".join(wanted[key](n) for key, n in known.items() if isinstance(n, (int, float)))


def headline(run: RunLogs, summary: Summary) -> list[tuple[str, str]]:
    """The page's key figures: (figure, what it counts)."""
    entries = [entry for tasks in summary["models"].values() for entry in tasks.values()]
    seeing = sum(verdict_of(entry) == "sees" for entry in entries)
    tiles = [
        (str(len(summary["models"])), "models"),
        (str(len(tasks_of(summary))), "tasks"),
        (f"{sum(entry['n'] for entry in entries):,}", "answers scored"),
        (f"{seeing} of {len(entries)}", "scores need the image"),
    ]
    if summary["seconds"]:
        tiles.append((duration(sum(summary["seconds"].values())), "in all steps together"))
    if summary["peak_rss_mb"] is not None:
        tiles.append((f"{summary['peak_rss_mb'] / 1024:.1f} GiB", "peak memory"))
    return tiles


def render_page(run: RunLogs, summary: Summary, tables: Sequence[Table], *, title: str) -> str:
    """The page as HTML: no script, nothing loaded, everything from logs escaped."""
    environment = Environment(
        loader=PackageLoader("ndino.results"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "costs": costs}
    charts = [chart for chart in map(figures.loss_chart, run.training) if chart is not None]
    common, own = shared_facts(run.training)
    page = environment.get_template("report.html.j2").render(
        title=title,
        headline=headline(run, summary),
        findings=findings(summary),
        tables=tables,
        score_charts=figures.score_charts(summary),
        several=len(summary["models"]) > 1,
        gain_charts=figures.gain_charts(summary),
        loss_charts=charts,
        examples=read_examples(run, tasks_of(summary)),
        seconds=summary["seconds"],
        training=run.training,
        common_facts=common,
        own_facts=own,
    )
    return page.translate(CONTROLS)


def _write(path: Path, text: str) -> Path:
    # Names and answers may hold half of a surrogate pair, which no page can show.
    write_text(path, text, errors="replace")
    return path


def write_report(
    folder: Path,
    *,
    title: str | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    data: Sequence[Path] = (),
) -> Report:
    """Write RUN/report/: index.html, tables.md, tables.csv, tables.tex and summary.json.

    ``pairs`` are tested against each other (default: the paper's); ``data`` are data folders whose manifests
    fill Tables 1, 2 and 4. Raises ResultsError when the run's logs are broken, incomplete or not comparable,
    DataError when a data folder's manifest is.
    """
    run = read_run(folder)
    title = title or f"LLaVA-NDiNO: results of {folder.resolve().name}"
    summary = build_summary(run, pairs=pairs)
    tables, sentences = [*data_tables(data), *build_tables(summary)], findings(summary)
    page = render_page(run, summary, tables, title=title)
    out = folder / "report"
    out.mkdir(exist_ok=True)
    written = {
        "tables.md": markdown(title, sentences, tables),
        "tables.csv": csv_text(tables),
        "tables.tex": latex(tables),
    }
    return Report(
        page=_write(out / "index.html", page),
        tables_files=[_write(out / name, text) for name, text in written.items()],
        summary_file=_write(out / "summary.json", json.dumps(summary, indent=1, allow_nan=False) + "\n"),
        summary=summary,
        tables=tables,
        findings=sentences,
    )
