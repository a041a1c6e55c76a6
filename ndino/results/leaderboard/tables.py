"""A leaderboard as Markdown: a row a model, native and translated benchmarks apart, no mean over tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ndino.common.files import write_text
from ndino.languages.language import code_of_task
from ndino.results.leaderboard.rows import FILE, Leaderboard, ScoreColumn
from ndino.results.render import CONTROLS, markdown
from ndino.results.summary import model_order
from ndino.results.table_data import Cell, Column, ReportTable, arrow
from ndino.results.tables.scores import column_note, perplexity_cell, score_cell

MARKDOWN = "leaderboard.md"
LEADERBOARD_FILES = (FILE, MARKDOWN)
SHORT = 12  # characters shown of a digest
ORIGINS = {"native": "Native benchmarks", "translated": "Translated benchmarks", None: "Other benchmarks"}
PACKAGES = ("torch", "transformers", "tokenizers", "lmms_eval", "pillow")
# These make the text behind them run from the right, so that a name could show something else than it is.
_DIRECTIONS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}")
_HOW_TO_READ = (
    "Each cell: the score in percent, its 95 % confidence interval over images, the score with shuffled "
    "images, and the gain over it with its interval. sees: that interval lies above 0. blind: it does not, "
    "so the score is no evidence that the model looks at the image. no control: not run. majority: the score "
    "for always giving the most common answer.",
    "Scores can be compared within a column only. There is no mean over tasks, and none over native and "
    "translated ones.",
)


def leaderboard_markdown(board: Leaderboard) -> str:
    """The tables of a leaderboard as one Markdown document; names are escaped."""
    tables = [
        *(_scores(board, origin, title) for origin, title in ORIGINS.items()),
        _perplexities(board),
        _models(board),
        _columns(board),
    ]
    text = markdown(
        "Leaderboard", [*_HOW_TO_READ, *_apart(board)], [table for table in tables if table is not None]
    )
    return text.translate(CONTROLS | _DIRECTIONS)


def write(board: Leaderboard, folder: Path) -> list[Path]:
    """Write a leaderboard's JSON and Markdown; the paths of both."""
    texts = {folder / FILE: board.text(), folder / MARKDOWN: leaderboard_markdown(board)}
    for path, text in texts.items():
        # Names may hold lone surrogates, which UTF-8 cannot encode.
        write_text(path, text, errors="replace")
    return [*texts]


def _in_order(columns: Mapping[str, ScoreColumn]) -> list[str]:
    def place(key: str) -> Any:
        column = columns[key]
        return code_of_task(column.task) or "", column.task, column.version, key

    return sorted(columns, key=place)


def _apart(board: Leaderboard) -> list[str]:
    """What to know of tasks, and of sets of answers, that have several columns."""
    sentences = []
    for task in sorted({column.task for column in board.columns.values()}):
        columns = [column for column in board.columns.values() if column.task == task]
        if len(columns) > 1:
            differ = ", ".join(_differing(columns))
            sentences.append(
                f"{task.upper()} stands in {len(columns)} columns that cannot be compared; they differ in: "
                f"{differ}. Evaluate with one version of the kit and of the data (ndino rescore, if only the "
                "scoring differs)."
            )
    names = [column.set for column in board.perplexity_columns.values()]
    for name in sorted({name for name in names if names.count(name) > 1}):
        sentences.append(
            f"The perplexity of {name.upper()} stands in {names.count(name)} columns that cannot be "
            "compared: they are of other answers, or of those that other models of a run could score too."
        )
    return sentences


def _differing(columns: Sequence[ScoreColumn]) -> list[str]:
    stated = [
        {"version": each.version, "metric": each.metric, "questions": each.questions, **each.settings}
        for each in columns
    ]
    return [
        name
        for name in dict.fromkeys(n for each in stated for n in each)
        if len({e.get(name) for e in stated}) > 1
    ]


def _heads(titles: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Titles of columns by key; those that are equal get a piece of their key."""
    pairs = [*titles]
    names = [title for _, title in pairs]
    return {key: title if names.count(title) == 1 else f"{title} #{key[:6]}" for key, title in pairs}


def _scores(board: Leaderboard, origin: str | None, title: str) -> ReportTable | None:
    columns = {key: column for key, column in board.columns.items() if column.origin == origin}
    keys = [key for key in _in_order(columns) if any(key in row.scores for row in board.models.values())]
    if not keys:
        return None
    heads = _task_heads(board)
    rows = tuple(
        (
            name,
            tuple(
                score_cell(board.entry(name, key), ()) if key in board.models[name].scores else None
                for key in keys
            ),
        )
        for name in model_order([*board.models])
        if any(key in board.models[name].scores for key in keys)
    )
    shown = tuple(_column(columns[key], heads[key]) for key in keys)
    return ReportTable(f"leaderboard-{origin}", title, "Model", shown, rows, ())


def _column(column: ScoreColumn, head: str) -> Column:
    stated = vars(column)
    return Column(f"{head} {arrow(stated)}", f"version {column.version}, {column_note(stated)}")


def _task_heads(board: Leaderboard) -> dict[str, str]:
    return _heads((key, column.task.upper()) for key, column in board.columns.items())


def _perplexities(board: Leaderboard) -> ReportTable | None:
    columns = board.perplexity_columns
    keys = sorted(columns, key=lambda key: (columns[key].set, key))
    if not keys:
        return None
    heads = _heads((key, columns[key].set.upper()) for key in keys)
    rows = tuple(
        (
            name,
            tuple(
                perplexity_cell(board.models[name].perplexity[key])
                if key in board.models[name].perplexity
                else None
                for key in keys
            ),
        )
        for name in model_order([*board.models])
        if board.models[name].perplexity
    )
    legend = (
        "Lower is better. On top the paper's mean without outliers above 1,000 (⋄: all are), then over all "
        "answer tokens with its 95 % confidence interval. Models with different tokenizers compare by bits "
        "per character alone.",
    )
    shown = tuple(Column(f"{heads[key]} ↓", f"n = {columns[key].n}") for key in keys)
    return ReportTable("leaderboard-perplexity", "Perplexity", "Model", shown, rows, legend)


def _models(board: Leaderboard) -> ReportTable:
    rows = []
    for name in model_order([*board.models]):
        row = board.models[name]
        stated = row.answers
        made = [score["made_with"] for score in row.scores.values()]
        software = [f"{package} {stated[package]}" for package in PACKAGES if package in stated]
        versions = {f"ndino {each['ndino']}" for each in made if each.get("ndino")}
        where = " ".join(stated[key] for key in ("backend", "device", "dtype") if key in stated)
        cells = (
            _cell((stated.get("weights") or stated.get("model") or "–")[:SHORT]),
            _cell(row.suite, f"n = {len(row.scores)}"),
            _cell(_digests(each.get("commit") for each in made), *sorted(versions)),
            _cell(where or "–", *software),
        )
        rows.append((name, cells))
    heads = ("weights", "suite", "commit", "made with")
    legend = (
        "suite: of n tasks; the same for models that were asked the same questions in the same way, task by "
        "task.",
    )
    return ReportTable(
        "leaderboard-models", "Models", "Model", tuple(map(Column, heads)), tuple(rows), legend
    )


def _columns(board: Leaderboard) -> ReportTable:
    rows = []
    heads = _task_heads(board)
    for key in _in_order(board.columns):
        column = board.columns[key]
        made = [row.scores[key]["made_with"] for row in board.models.values() if key in row.scores]
        cells = (
            _cell(column.version),
            _cell(column.origin or "not stated"),
            _cell(f"{column.n:,}"),
            _cell(column.questions[:SHORT]),
            _cell(_digests(each.get("data_revision") for each in made)),
            _cell(_digests(each.get("data_files") for each in made)),
        )
        rows.append((heads[key], cells))
    names = ("version", "origin", "n", "questions", "data revision", "data files")
    legend = (
        "questions: a digest of all questions, images and right answers that were asked. data revision: of "
        "the hub's data set, where known. data files: a digest of the files they were read from.",
    )
    return ReportTable("leaderboard-tasks", "Tasks", "Task", tuple(map(Column, names)), tuple(rows), legend)


def _cell(text: str, *details: str) -> Cell:
    return Cell(text, details, strong=False)


def _digests(values: Iterable[str | None]) -> str:
    """The different digests, cut short."""
    return ", ".join(sorted({value[:SHORT] for value in values if value})) or "–"
