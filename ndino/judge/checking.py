"""How far a judge agrees with the labelled rows, and how far the readers do that need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ndino.common.files import key_of, write_json
from ndino.common.markdown import coefficient, percent, table
from ndino.common.parsing import read_json
from ndino.judge.agreement import JudgeAgreement, agreement_of, agrees
from ndino.judge.asking import judge_items
from ndino.judge.errors import JudgeError
from ndino.judge.judges import Judge, name_of_judge
from ndino.judge.labelled import LabelledSet
from ndino.judge.prompts import JudgePrompt
from ndino.judge.verdicts import VerdictFile, held

Verdicts = Sequence[float | None]


@dataclass(frozen=True)
class CheckFiles:
    """What a check of a judge leaves under ``folder``: JUDGE/CODE.jsonl and CODE.json."""

    folder: Path
    judge: Judge
    prompt: JudgePrompt

    @property
    def verdicts(self) -> Path:
        return self.folder / name_of_judge(self.judge) / f"{self.prompt.code}.jsonl"

    @property
    def figures(self) -> Path:
        return self.verdicts.with_suffix(".json")

    def key(self, rows: LabelledSet) -> str:
        """Of all that the figures depend on."""
        return key_of(self.judge.identity, self.prompt.identity, rows.digest)


def check(judge: Judge, prompt: JudgePrompt, rows: LabelledSet, files: CheckFiles) -> Verdicts:
    """Judge the labelled rows, and write their verdicts and figures.

    Raises:
        JudgeError: the judge cannot be asked, or a file of an earlier check is broken.
    """
    file = VerdictFile(files.verdicts)

    def line_of(place: int) -> dict[str, Any]:
        return {"row": place + 1, "kind": rows.rows[place].kind, "label": rows.rows[place].label}

    items = {place: row.item for place, row in enumerate(rows.rows)}
    with held(files.verdicts.parent):
        found = judge_items(judge, prompt, items, file, file.known(), line_of)
    verdicts = [found[place].value for place in items]
    labels = [row.label for row in rows.rows]
    write_json(
        files.figures,
        {
            "judge": files.figures.parent.name,
            "source": judge.source,
            "language": rows.code,
            "rows_sha256": rows.digest,
            "key": files.key(rows),
            **asdict(agreement_of(labels, verdicts)),
            "kinds": by_kind(rows, verdicts),
        },
    )
    return verdicts


def figures_of(files: CheckFiles, rows: LabelledSet) -> dict[str, Any] | None:
    """The figures of a check of this judge with this prompt on these rows; None where it was not checked.

    Raises:
        JudgeError: the file is broken.
    """
    if not files.figures.exists():
        return None
    try:
        found = read_json(files.figures)
        return found if found["key"] == files.key(rows) else None
    except (ValueError, KeyError, TypeError) as error:
        raise JudgeError(
            f"{files.figures}: broken: {error} (remedy: remove it, and run ndino judge check)"
        ) from error


def baselines(rows: LabelledSet) -> dict[str, Verdicts]:
    """What the metrics without a model say of the rows: 0 or 1."""
    from ndino.evaluation.tasks.framework.scores import score_short_answer

    scores = [score_short_answer(row.item.answer, row.item.references, rows.code) for row in rows.rows]
    return {name: [score[name] for score in scores] for name in ("exact_match", "robust", "contains")}


def by_kind(rows: LabelledSet, verdicts: Verdicts) -> dict[str, float]:
    """The share of rows of each kind whose verdict decides as the label does."""
    found: dict[str, list[bool]] = {}
    for row, verdict in zip(rows.rows, verdicts, strict=True):
        found.setdefault(row.kind, []).append(agrees(row.label, verdict))
    return {kind: sum(same) / len(same) for kind, same in found.items()}


def check_lines(rows: LabelledSet, readers: Mapping[str, Verdicts]) -> list[str]:
    """The figures of all readers of the rows, and their agreement by kind; two Markdown tables."""
    labels = [row.label for row in rows.rows]
    found = {name: agreement_of(labels, verdicts) for name, verdicts in readers.items()}
    header = ["", "agreement", "three levels", "precision", "recall", "F1", "kappa", "unreadable"]
    lines = table(header, [[name, *_cells(figures)] for name, figures in found.items()])
    kinds = {name: by_kind(rows, verdicts) for name, verdicts in readers.items()}
    labels_of = {row.kind: row.label for row in rows.rows}
    counts = {kind: sum(row.kind == kind for row in rows.rows) for kind in labels_of}
    shown = (
        [kind, f"{label:g}", str(counts[kind]), *(percent(kinds[name][kind]) for name in readers)]
        for kind, label in labels_of.items()
    )
    return [*lines, "", *table(["kind", "label", "rows", *readers], shown)]


def _cells(figures: JudgeAgreement) -> list[str]:
    shares = figures.three_levels, figures.precision, figures.recall, figures.f1
    return [
        f"{percent(figures.agreement)} {_interval(figures.agreement_interval)}",
        *map(percent, shares),
        coefficient(figures.kappa, figures.kappa_interval),
        str(figures.unreadable),
    ]


def _interval(interval: Sequence[float]) -> str:
    return f"[{percent(interval[0])}, {percent(interval[1])}]"
