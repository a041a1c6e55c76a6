"""What the commands have written."""

from __future__ import annotations

import json
from pathlib import Path


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def log(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]
