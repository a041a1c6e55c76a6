"""Spelling that no answer's meaning depends on: Unicode forms, quotes, case, accents. No language's words."""

from __future__ import annotations

import unicodedata

APOSTROPHES = str.maketrans(dict.fromkeys("’‘‛ʼʹ´`′＇", "'"))
_ACUTE = "\u0301"


def clean(text: str) -> str:
    """Normalise the spelling of a text: NFKC, lower case, straight apostrophes, no control characters."""
    composed = unicodedata.normalize("NFC", text).translate(APOSTROPHES)
    text = unicodedata.normalize("NFKC", composed).casefold()
    kinds = [(character, unicodedata.category(character)) for character in text]
    # Zero-width characters (Cf) occur inside words, so they vanish; other control characters become blanks.
    text = "".join(" " if kind in ("Cc", "Cs", "Co", "Cn") else c for c, kind in kinds if kind != "Cf")
    return " ".join(text.split())


def without_accents(text: str) -> str:
    """Remove accents: ``città``, precomposed or not, becomes ``citta``."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def one_accent(text: str) -> str:
    """Write every accent as an acute one: ``perchè`` becomes ``perché``, and ``si`` stays unlike ``sì``."""
    decomposed = unicodedata.normalize("NFD", text)
    marked = "".join(_ACUTE if unicodedata.combining(c) else c for c in decomposed)
    return unicodedata.normalize("NFC", marked)
