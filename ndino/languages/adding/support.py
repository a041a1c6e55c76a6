"""Which tools and published sets a language has, and which of the tools are installed here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from ndino.languages.identify import is_known, label_of
from ndino.languages.known.locales import locale_of
from ndino.languages.known.published import published_sets
from ndino.languages.known.tool_codes import known_code, listed_code, tesseract_package

ENGLISH = "en"  # what the published sources are translated from
Row = tuple[str, str, str]


def published_rows(code: str) -> list[Row]:
    """Of each published set: its title, whether it has the language, and what it gives or who says so."""
    rows: list[Row] = []
    code = listed_code(code)
    for found in published_sets().values():
        if code in found.languages:
            count = f"{found.rows[code]:,} rows" if code in found.rows else "yes"
            rows.append((found.title, count, found.gives))
        else:
            rows.append((found.title, "not listed", f"languages by {found.source}"))
    return rows


def tool_rows(code: str) -> list[Row]:
    """Of each tool: its name, what it calls the language, and whether it can be used here."""
    return [
        ("Tesseract", known_code("tesseract", code), _tesseract(code)),
        ("Apertium", known_code("apertium", code), _apertium(code)),
        ("MADLAD", f"<2{known_code('madlad', code)}>", "known if the model has this tag"),
        ("FLORES", known_code("flores", code), "the code of NLLB models"),
        ("num2words", known_code("num2words", code), _num2words(code)),
        ("CLDR", known_code("cldr", code), _cldr(code)),
        (
            "py3langid",
            label_of(code),
            "known" if is_known(code) else "unknown: other languages are not recognized",
        ),
    ]


def _tesseract(code: str) -> str:
    pack = known_code("tesseract", code)
    if not pack:
        return "no pack is known: EUR-Lex cannot be read"
    if pack in _lines("tesseract", "--list-langs"):
        return "installed"
    return f"not installed (apt-get install {tesseract_package(pack)})"


def _apertium(code: str) -> str:
    """Whether there is a pair from English, or two over another language."""
    source, target = known_code("apertium", ENGLISH), known_code("apertium", code)
    pairs = {line.strip() for line in _lines("apertium", "-l")}
    if f"{source}-{target}" in pairs:
        return f"installed: {source}-{target}"
    between = {pair.removeprefix(f"{source}-") for pair in pairs if pair.startswith(f"{source}-")}
    for one in sorted(between):
        if f"{one}-{target}" in pairs:
            return f"installed: {source}-{one} and {one}-{target}"
    return f"no pair from {source} is installed (apt-cache search apertium-, or another translator)"


def _num2words(code: str) -> str:
    return "known" if known_code("num2words", code) else "unknown: the numbers are those of number_words"


def _cldr(code: str) -> str:
    return "known" if locale_of(code) else "unknown: months and currencies in words are not found"


def _lines(program: str, *arguments: str) -> Iterator[str]:
    if shutil.which(program) is not None:
        said = subprocess.run([program, *arguments], capture_output=True, text=True, check=False).stdout
        yield from said.splitlines()
