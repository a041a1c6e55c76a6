"""Writes the task folders of a language from the Italian ones in ``tasks_it/``, which are the templates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ndino.common.files import atomic_file
from ndino.evaluation.tasks.framework.instructions import require_tasks
from ndino.languages.known.tool_codes import known_code
from ndino.languages.language import codes

TEMPLATES = Path(__file__).resolve().parents[4] / "tasks_it"
# The language of the templates. lmms-eval has its tasks already.
TEMPLATE_CODE = "it"
# In names of tasks, data sets, files and folders: gqa-it, GQA-it, POPE_IT, pope_it, _pope_it_yaml.
_CODE = re.compile(rf"(?<=[-_])(?:{TEMPLATE_CODE}|{TEMPLATE_CODE.upper()})(?![A-Za-z0-9])")
# A line with what a data set calls the language: test_split: it # xm3600 code
_OTHER_NAME = re.compile(r"^.* # (\S+) code$", re.MULTILINE)


def languages_to_write(names: Iterable[str], templates: Iterable[str]) -> list[str]:
    """The codes of the languages whose tasks are among ``names`` and have to be written.

    Args:
        templates: the names of the tasks and groups in ``tasks_it/``.
    """
    known = {*templates}
    wanted = {*names} - known
    return [code for code in codes() if not wanted.isdisjoint(_translated(name, code) for name in known)]


def write_tasks(code: str, folder: Path) -> Path:
    """Write the tasks and groups of a language to ``folder``; what they do is read when they are loaded.

    Returns:
        ``folder``.

    Raises:
        LanguageError: there is no file for the language, or it lacks what the tasks need.
    """
    require_tasks(code)
    for path in sorted(TEMPLATES.rglob("*")):
        if path.suffix not in (".yaml", ".py") and not path.name.endswith("_yaml"):
            continue
        place = folder / _translated(path.relative_to(TEMPLATES).as_posix(), code)
        text = _translated(path.read_text(encoding="utf-8"), code)
        with atomic_file(place) as temporary:
            temporary.write_text(text.replace(f'("{TEMPLATE_CODE}")', f'("{code}")'), encoding="utf-8")
    return folder


def _translated(text: str, code: str) -> str:
    def renamed(line: re.Match[str]) -> str:
        italian, name = (known_code(line[1], each) or each for each in (TEMPLATE_CODE, code))
        return re.sub(rf"\b{italian}\b", name, line[0])

    text = _OTHER_NAME.sub(renamed, text)
    return _CODE.sub(lambda found: code.upper() if found[0].isupper() else code, text)
