"""What runs without the tests does not import them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Everything of ours that is not a test; what tests and these share lives in fixtures/.
FOLDERS = ("benchmarks", "fixtures", "miniature", "ndino", "overlay", "tasks_it")


def imported(path: Path) -> set[str]:
    """Top-level names of the packages that a file imports, at any depth of the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("folder", FOLDERS)
def test_code_does_not_import_tests(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    assert [str(path.relative_to(ROOT)) for path in files if "tests" in imported(path)] == []
