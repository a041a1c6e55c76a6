"""Reads `upstream.toml`: the pinned commit of each upstream repository and the sha256 of patched files."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of
from ndino.upstream.errors import UpstreamError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
LLAVA_NEXT, LMMS_EVAL = "LLaVA-NeXT", "lmms-eval"
LMMS_EVAL_PACKAGE = Path("lmms_eval")
TASK_FOLDER = Path("tasks", "ndino_it")
OTHER_TASKS = Path("tasks", "ndino_languages")


@dataclass(frozen=True)
class Pin:
    """An upstream repository at one commit, and what we add to it.

    Attributes:
        root: our repository.
        sha256: of every upstream file that a patch touches, before it is patched.
        patched: of the same files, after all patches.
        release: lmms-eval's version on PyPI, for machines that cannot fetch its repository.
        overlay: our folder -> folder in the tree, relative.
    """

    name: str
    root: Path
    url: str
    commit: str
    release: str = ""
    sha256: dict[str, str] = field(default_factory=dict)
    patched: dict[str, str] = field(default_factory=dict)
    overlay: dict[Path, Path] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.root / "third_party" / self.name

    @property
    def patches(self) -> Path:
        return self.root / "patches" / self.name.lower()

    @property
    def setting(self) -> str:
        """The environment variable that names a mirror or clone to use instead of ``url``."""
        return f"{self.name.upper().replace('-', '_')}_URL"

    @property
    def source(self) -> str:
        """Where to fetch from: a URL, or the absolute path of a folder."""
        url = os.environ.get(self.setting) or self.url
        return str(Path(url).resolve()) if Path(url).exists() else url


def overlays(root: Path) -> dict[str, dict[Path, Path]]:
    """For each upstream tree: our folder -> its place, relative to the tree."""
    return {
        LLAVA_NEXT: {root / "overlay" / "llava": Path("llava")},
        LMMS_EVAL: {
            root / "tasks_it": LMMS_EVAL_PACKAGE / TASK_FOLDER,
            # Those of other languages, a folder each: make setup LANGUAGES=.
            root / "third_party" / "tasks": LMMS_EVAL_PACKAGE / OTHER_TASKS,
            root / "overlay" / "lmms_eval": LMMS_EVAL_PACKAGE,
        },
    }


def read_pins(root: Path = ROOT) -> dict[str, Pin]:
    """Read and check ``upstream.toml``.

    Raises:
        UpstreamError: a value is missing or wrong; names the table and the field.
    """
    path = root / "upstream.toml"
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UpstreamError(
            f"{path} cannot be read: {reason_of(error)} (remedy: correct it, or git checkout {path})"
        ) from error
    return {name: _pin(path, root, name, table) for name, table in tables.items()}


def _pin(path: Path, root: Path, name: str, table: dict[str, Any]) -> Pin:
    def wanted(field: str, value: Any, pattern: str, what: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise UpstreamError(f"{path}: [{name}] {field} is {value!r} (remedy: give {what})")
        return value

    def hashes(table_name: str) -> dict[str, str]:
        return {
            file: wanted(f"{table_name} of {file}", value, "[0-9a-f]{64}", "64 hexadecimal digits")
            for file, value in table.get(table_name, {}).items()
        }

    known = {"url", "commit", "sha256", "patched"} | ({"release"} if name == LMMS_EVAL else set())
    if name not in overlays(root) or (unknown := sorted(set(table) - known)):
        what = f"[{name}] has unknown field {unknown[0]}" if name in overlays(root) else f"unknown [{name}]"
        raise UpstreamError(f"{path}: {what} (remedy: remove it)")
    sha256, patched = hashes("sha256"), hashes("patched")
    if one_sided := sorted(sha256.keys() ^ patched.keys()):
        raise UpstreamError(
            f"{path}: [{name}] {one_sided[0]} is in one of sha256 (before the patches) and patched (after) "
            "(remedy: add it to the other)"
        )
    return Pin(
        name=name,
        root=root,
        url=wanted("url", table.get("url"), r"\S+", "the address of a git repository"),
        commit=wanted(
            "commit", table.get("commit"), "[0-9a-f]{40}", "a full commit of 40 hexadecimal digits"
        ),
        release=wanted("release", table.get("release"), r"[0-9][\w.]*", "a version")
        if name == LMMS_EVAL
        else "",
        sha256=sha256,
        patched=patched,
        overlay=overlays(root)[name],
    )
