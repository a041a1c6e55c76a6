"""Spelling that no answer's meaning depends on: Unicode forms, quotes, case, accents. No language's words."""

from __future__ import annotations

import re
import unicodedata

APOSTROPHES = str.maketrans(dict.fromkeys("’‘‛ʼʹ´`′＇׳", "'"))
_ACUTE = "\u0301"
# Of Arabic, Hebrew, Chinese and Hindi; Unicode's own forms leave them apart.
_SIGNS = str.maketrans("،、؛؟۔。।٪־״", ',,;?...%-"')
# Vowels and other marks of Hebrew and Arabic that are mostly left out, and the stroke that stretches a word.
# Not among them: hamza and madda, which make other letters.
_POINTS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)


def usual_signs(text: str) -> str:
    """A text with the full stops, commas and percent signs of Latin script, and without the vowel points of
    Hebrew and Arabic: ``نَعَم؟`` becomes ``نعم?``."""
    return _POINTS.sub("", text.translate(_SIGNS))


def clean(text: str) -> str:
    """Normalise the spelling of a text: NFKC, lower case, straight apostrophes, `usual_signs`, no control
    characters."""
    composed = unicodedata.normalize("NFC", text).translate(APOSTROPHES)
    text = usual_signs(unicodedata.normalize("NFKC", composed)).casefold()
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
