"""Compare two data folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def assert_same_folders(one: Path, other: Path) -> None:
    """Equal bytes of rows, rejects, card and images; equal manifests except for the commit."""
    for name in ("data.jsonl", "rejects.jsonl", "README.md"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert _manifest(one) == _manifest(other)
    assert _images(one) == _images(other)


def _manifest(folder: Path) -> dict[str, Any]:
    return {**json.loads((folder / "manifest.json").read_text(encoding="utf-8")), "commit": None}


def _images(folder: Path) -> set[Path]:
    files = (path for path in (folder / "images").rglob("*") if path.is_file())
    return {path.relative_to(folder) for path in files}
