"""Whether a task's texts were written in its language or translated into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ndino.languages.language import code_of_task

Origin = Literal["native", "translated"]
# The Italian tasks, from which those of other languages are written.
TEMPLATES, TEMPLATE_CODE = Path(__file__).resolve().parents[3] / "tasks_it", "it"
_FIELD = re.compile(r"^(task|include|  origin): *(\S+)", re.MULTILINE)


def origin_of(task: str, entry: Mapping[str, Any]) -> Origin | None:
    """The origin that results.json states; of results from before it did, the one in our task's YAML."""
    stated = entry.get("origin")
    if stated is None and _is_ours(entry) and (code := code_of_task(task)):
        stated = _of_templates().get(task.removesuffix(code) + TEMPLATE_CODE)
    return stated if stated in ("native", "translated") else None


def _is_ours(entry: Mapping[str, Any]) -> bool:
    """Whether nothing says that it is another task of the same name: ours depend on their language's file."""
    depends = entry.get("depends") or {}
    return "language" in depends.get("task", {}) if depends else True


@cache
def _of_templates() -> dict[str, str]:
    # Not PyYAML: the files name functions, with a tag that only lmms-eval's loader knows.
    found = {}
    for path in sorted(TEMPLATES.glob("*/*.yaml")):
        fields = _fields(path)
        if "include" in fields:
            fields = {**_fields(path.parent / fields["include"]), **fields}
        if "task" in fields and "origin" in fields:
            found[fields["task"]] = fields["origin"]
    return found


def _fields(path: Path) -> dict[str, str]:
    return {name.strip(): value for name, value in _FIELD.findall(path.read_text(encoding="utf-8"))}
