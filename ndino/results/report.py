"""Write a run's report to ``RUN/report/``: a self-contained page, tables in three formats, the summary."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ndino.common.files import write_text
from ndino.results import figures
from ndino.results.contents import contents_of
from ndino.results.examples import clip, read_examples
from ndino.results.findings import findings
from ndino.results.leaderboard import LEADERBOARD_FILES, collect
from ndino.results.leaderboard import write as write_leaderboard
from ndino.results.logs import RunLogs, TrainingRun, read_run
from ndino.results.render import CONTROLS, csv_text, latex, markdown
from ndino.results.summary import build_summary
from ndino.results.table_data import ReportTable, Summary
from ndino.results.tables import build_tables, data_tables, leaks_table, tasks_in_order
from ndino.results.verdicts import verdict_of

_DEFAULT_TITLE = "LLaVA-NDiNO: results of "
FACT_LENGTH = 300  # characters shown of a manifest's value


@dataclass(frozen=True)
class WrittenReport:
    """Paths and content of a written report.

    ``tables_files`` are the Markdown, CSV and LaTeX files, ``leaderboard_files`` JSON and Markdown, if any.
    """

    page: Path
    tables_files: Sequence[Path]
    summary_file: Path
    summary: Mapping[str, Any]
    tables: Sequence[ReportTable]
    findings: Sequence[str]
    leaderboard_files: Sequence[Path] = ()


def format_duration(seconds: float) -> str:
    """Format seconds as "8 min 20 s"; below a minute with tenths."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours} h " if hours else "") + f"{minutes} min {rest} s"


def flatten_manifest(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield a manifest's values as (dotted name, text), without the loss curve, which has its own figure."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key != "loss_curve":
                yield from flatten_manifest(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix in ("started", "ended") and isinstance(value, (int, float)):
        yield prefix, datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield prefix, clip(text, FACT_LENGTH)


def shared_facts(runs: Sequence[TrainingRun]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Split the runs' manifests into the facts that all share and each run's own."""
    facts = {run.chain: dict(flatten_manifest(run.manifest)) for run in runs}
    if len(facts) < 2:
        return {}, facts
    first = next(iter(facts.values()))
    common = {key: text for key, text in first.items() if all(f.get(key) == text for f in facts.values())}
    own = {chain: {key: text for key, text in f.items() if key not in common} for chain, f in facts.items()}
    return common, own


def run_costs(run: TrainingRun) -> str:
    """Steps, time and memory of a run in one line, without those that its manifest lacks."""
    wanted = {
        "steps": lambda n: f"{n:,} steps",
        "seconds": format_duration,
        "peak_rss_mb": lambda mb: f"{mb:,.0f} MiB",
    }
    known = {key: run.manifest.get(key) for key in wanted}
    return " · ".join(wanted[key](n) for key, n in known.items() if isinstance(n, (int, float)))


def counted(count: int, noun: str, rest: str = "") -> tuple[str, str]:
    """A count and its noun in the right number: ("1", "model"), ("2", "models")."""
    return f"{count:,}", f"{noun}{'' if count == 1 else 's'}{rest}"


def headline(run: RunLogs, summary: Summary) -> list[tuple[str, str]]:
    """The page's key figures as (figure, what it counts)."""
    entries = [entry for tasks in summary["models"].values() for entry in tasks.values()]
    judged = [verdict for entry in entries if (verdict := verdict_of(entry))]
    tiles = [
        counted(len(summary["models"]), "model"),
        counted(len(tasks_in_order(summary)), "task"),
        counted(sum(entry["n"] for entry in entries), "answer", " scored"),
        (
            f"{judged.count('sees')} of {len(judged)}",
            "scores depend on the image" if len(judged) > 1 else "score depends on the image",
        ),
    ]
    if summary["seconds"]:
        tiles.append((format_duration(sum(summary["seconds"].values())), "total running time"))
    if summary["peak_rss_mb"] is not None:
        tiles.append((f"{summary['peak_rss_mb'] / 1024:.1f} GiB", "peak memory"))
    return tiles


def render_template(name: str, **values: Any) -> str:
    """Render a page as HTML: no script, nothing loaded from elsewhere, everything from logs escaped."""
    environment = Environment(
        loader=PackageLoader("ndino.results"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"format_duration": format_duration, "run_costs": run_costs}
    return environment.get_template(name).render(**values).translate(CONTROLS)


def render_page(run: RunLogs, summary: Summary, tables: Sequence[ReportTable], *, title: str) -> str:
    """Render the report's page."""
    charts = [chart for chart in map(figures.loss_chart, run.training) if chart is not None]
    score_charts, gain_charts = figures.score_charts(summary), figures.gain_charts(summary)
    common, own = shared_facts(run.training)
    tasks = tasks_in_order(summary)
    examples = read_examples(run, tasks)
    return render_template(
        "report.html.j2",
        title=title,
        headline=headline(run, summary),
        findings=findings(summary),
        tables=tables,
        contents=contents_of(
            tasks, tables, score_charts=score_charts, gain_charts=gain_charts, examples=[*examples.tasks]
        ),
        score_charts=score_charts,
        several=len(summary["models"]) > 1,
        gain_charts=gain_charts,
        loss_charts=charts,
        examples=examples,
        seconds=summary["seconds"],
        training=run.training,
        common_facts=common,
        own_facts=own,
    )


def _write(path: Path, text: str) -> Path:
    # Names and answers may hold lone surrogates, which UTF-8 cannot encode.
    write_text(path, text, errors="replace")
    return path


def _kept_title(page: Path) -> str | None:
    """The title of an earlier page, unless it was named after its folder, which may have been renamed."""
    if not page.is_file():
        return None
    found = re.search(r"<title>(.+?)</title>", page.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    title = html.unescape(found[1]) if found else ""
    return None if not title or title.startswith(_DEFAULT_TITLE) else title


def write_report(
    folder: Path,
    *,
    title: str | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    data: Sequence[Path] = (),
    leaks: Sequence[Path] = (),
    leaderboard: bool = False,
) -> WrittenReport:
    """Write RUN/report/: index.html, tables.md, tables.csv, tables.tex and summary.json.

    Without ``title``, the one that an earlier report was given stays, such as a quick run's warning that its
    scores mean nothing. ``pairs`` names the models to test against each other (default: see
    `ndino.results.summary.default_pairs`).
    ``data`` are data folders whose manifests fill Tables 1, 2 and 4, ``leaks`` files of ``ndino data leaks``.
    ``leaderboard``: whether to write leaderboard.json and leaderboard.md, too. Where an earlier report has
    written one of them, both are written again, so that no file in the folder is of other results.

    Raises ResultsError when the run's logs are broken, incomplete or not comparable, and DataError when a
    data folder's manifest is missing or broken.
    """
    run = read_run(folder)
    out = folder / "report"
    title = title or _kept_title(out / "index.html") or f"{_DEFAULT_TITLE}{folder.resolve().name}"
    summary = build_summary(run, pairs=pairs)
    tables = [*data_tables(data), *build_tables(summary), *leaks_table(leaks)]
    sentences = findings(summary)
    page = render_page(run, summary, tables, title=title)
    out.mkdir(exist_ok=True)
    leaderboard = leaderboard or any((out / name).exists() for name in LEADERBOARD_FILES)
    written = {
        "tables.md": markdown(title, sentences, tables),
        "tables.csv": csv_text(tables),
        "tables.tex": latex(tables),
    }
    return WrittenReport(
        page=_write(out / "index.html", page),
        tables_files=[_write(out / name, text) for name, text in written.items()],
        summary_file=_write(out / "summary.json", json.dumps(summary, indent=1, allow_nan=False) + "\n"),
        summary=summary,
        tables=tables,
        findings=sentences,
        leaderboard_files=write_leaderboard(collect(run, summary), out) if leaderboard else (),
    )
