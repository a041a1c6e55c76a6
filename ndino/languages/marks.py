"""What the marks around a letter say: brackets, ends of clauses, ticks and crosses, formulas. No words."""

from __future__ import annotations

from collections.abc import Sequence

from ndino.languages.tokens import NEWLINE, Token

OPENING, CLOSING = frozenset("([{"), frozenset(")]}")
FULL_STOPS = frozenset({".", ":", "!", "?", NEWLINE})
LEADING_MARKS = frozenset({":", "-", "–", NEWLINE})
# Those of them that may stand between a letter and a remark on it.
INLINE_MARKS = LEADING_MARKS - {NEWLINE}
# Signs of right and wrong; a ballot box with a cross may mean either.
TICKS, CROSSES = frozenset("✓✔✅☑👍"), frozenset("✗✘✕✖❌❎☐👎")
# Beside one of these a letter is part of a formula: "F = ma", "A + B", "20 °C".
FORMULA = frozenset("=+*/^<>≤≥≠≈×·÷±→∝~|°\\%&@#")
_BOUNDARIES = frozenset({".", ",", ":", ";", "!", "?", "(", ")", "–", "—", NEWLINE})


def ends_clause(found: Sequence[Token], place: int) -> bool:
    return found[place].text in _BOUNDARIES


def mark_beside(found: Sequence[Token], start: int, end: int, line: int) -> str:
    """The tick or cross of an option: before it if its line (from ``line``) begins with one, else behind."""
    marks = TICKS | CROSSES
    end += end < len(found) and found[end].text in INLINE_MARKS | OPENING
    before = found[start - 1].text if start else ""
    after = found[end].text if end < len(found) else ""
    if before not in marks and after not in marks:
        return ""
    if found[line].text in marks:
        return before if before in marks else ""
    if after in marks:
        return after
    return before if start > 1 and not found[start - 2].is_word else ""


def is_in_formula(found: Sequence[Token], place: int) -> bool:
    """Whether a letter is part of a formula, a unit or a name: "F = ma", "20 °C", "B-12"."""
    before = found[place - 1] if place else None
    after = found[place + 1] if place + 1 < len(found) else None
    labels = after is not None and after.glued and after.text in CLOSING
    if before and (before.text in FORMULA or _is_joined(found, place - 1)):
        return True
    if before and before.text.isdecimal() and not labels:
        return True
    if after is None:
        return False
    return after.text in FORMULA or (after.glued and after.text in OPENING) or _is_joined(found, place + 1)


def _is_joined(found: Sequence[Token], place: int) -> bool:
    """Whether a hyphen or point without blanks joins two words: "B-12", "a.C."."""
    joins = found[place].text in "-−." and found[place].glued and place + 1 < len(found)
    return joins and found[place + 1].is_word and found[place + 1].glued
