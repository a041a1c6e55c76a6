"""A language of its own for a test: the file of another one under a new code, in a temporary folder."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from ndino.languages import answers
from ndino.languages import language as languages

FOLDER = Path(languages.__file__).parent


def language_file(
    patch: pytest.MonkeyPatch,
    folder: Path,
    code: str,
    *,
    like: str = "it",
    without: Collection[str] = (),
    **changes: Any,
) -> None:
    """Write ``code``.yaml beside copies of all files of languages, and read languages from there from now on.

    ``code`` must be one that no other test uses after this one, because what has been read is remembered.
    """
    for path in FOLDER.glob("*.yaml"):
        shutil.copy(path, folder)
    words = yaml.safe_load((FOLDER / f"{like}.yaml").read_text(encoding="utf-8")) | changes
    text = yaml.safe_dump({field: value for field, value in words.items() if field not in without})
    (folder / f"{code}.yaml").write_text(text, encoding="utf-8")
    patch.setattr(languages, "FOLDER", folder)
    languages.language.cache_clear()
    answers.reader.cache_clear()
