"""What `ndino language check` prints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ndino.languages import language as languages
from ndino.languages.adding.readiness import Readiness, listed
from ndino.languages.adding.support import published_rows, tool_rows
from ndino.languages.known.locales import is_right_to_left
from ndino.languages.known.tool_codes import script_of_language

# Unicode's isolates: what is between them does not turn the rest of its line around.
ISOLATE, END = "\u2068", "\u2069"
_LETTER = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]"
RIGHT_TO_LEFT = re.compile(rf"{_LETTER}+(?:[\W\d_]+{_LETTER}+)*")


def report_lines(found: Readiness) -> Iterator[str]:
    """The report, line by line."""
    code = found.code
    fields, script = languages.written_fields(code).sound, script_of_language(code) or "unknown"
    own = f" ({fields['endonym']})" if fields.get("endonym") else ""
    direction = ", right to left" if is_right_to_left(code) else ""
    path = languages.FOLDER / f"{code}.yaml"
    yield _isolated(f"{fields.get('name') or code}{own}, script {script}{direction}: {path}")
    failed = [(probe, line) for probe in found.probes for line in probe.failed]
    yield from _section("Wrong", [*found.wrong, *(f"{probe.name}: {line}" for probe, line in failed)])
    missing = [field for field in found.missing if not field.rare]
    yield from _section("Missing", [f"{field.key}: {field.without}" for field in missing])
    yield from _section("Still in English", [listed(found.english)] if found.english else [])
    right = sum(not probe.failed for probe in found.probes)
    yield from _section(
        "Answers made of its words", [f"{right} of {len(found.probes)} forms are read as they should be"]
    )
    yield from _section("Published data", _columns(published_rows(code)))
    yield from _section("Tools", _columns(tool_rows(code)))
    yield from _section("Ready", _columns((part.name, part.state, part.reason) for part in found.parts))


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from ("", title)
        yield from (f"  {_isolated(line)}" for line in lines)


def _columns(rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return [f"{one:{widths[0]}}  {other:{widths[1]}}  {last}".rstrip() for one, other, last in rows]


def _isolated(text: str) -> str:
    """A line in which words from right to left do not turn what stands around them."""
    return RIGHT_TO_LEFT.sub(rf"{ISOLATE}\g<0>{END}", text)
