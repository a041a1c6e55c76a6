"""What the tests of the judge share: runs with open answers, and a server that judges by equal texts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.results.synthetic import sample, write_rows
from tests.servers import Body

# (question, target, answer, image)
Row = tuple[str, Any, str, str]


def texts_in(body: Body) -> tuple[str, list[str], str]:
    """Question, right answers and answer in a request."""
    message = body["messages"][0]
    lines = message["content"].splitlines()[-3:]
    question, references, answer = (json.loads(f"[{line.partition(': ')[2]}]") for line in lines)
    return question[0], references, answer[0]


def judge_by_text(body: Body) -> str:
    """Right for an equal text, half right for one that holds a right answer, wrong for others; 'boh' is read
    as no rating."""
    _, references, answer = texts_in(body)
    if answer == "boh":
        return "Non so che voto dare."
    if answer in references:
        return "La risposta coincide.\nVoto: 3"
    half = any(reference in answer for reference in references)
    return f"La risposta è un'altra.\n**Voto:** {2 if half else 1}"


def write_log(folder: Path, task: str, rows: Sequence[Row], control: str = "") -> None:
    """Write a task's log, or that of a control, and its entry in ``results.json``."""
    made = [
        sample(
            place,
            0.0,
            question=question,
            target=target,
            answer=answer,
            image_sha256=image,
            shuffled=bool(control),
        )
        for place, (question, target, answer, image) in enumerate(rows)
    ]
    write_rows(folder / (f"{task}.{control}.jsonl" if control else f"{task}.jsonl"), made)
    path = folder / "results.json"
    results: dict[str, Any] = {"model": folder.name, "source": "m", "fingerprint": "f", "tasks": {}}
    if path.exists():
        results = json.loads(path.read_text())
    entry = results["tasks"].setdefault(
        task, {"version": 1, "n": len(rows), "metrics": {"exact_match": 0.0}, "shuffled": {}, "controls": {}}
    )
    if control == "shuffled":
        entry["shuffled"] = {"exact_match": 0.0}
    elif control:
        entry["controls"][control] = {"exact_match": 0.0}
    path.write_text(json.dumps(results))


def judge_folder(model: Path) -> Path:
    """The only folder of verdicts of an evaluated model."""
    (found,) = (model / "judge").iterdir()
    return found


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def numbers_in(text: str) -> list[str]:
    return re.findall(r"−?\d+\.\d+", text)
