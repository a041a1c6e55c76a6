"""Reads a model's short answers in Italian: free text, yes or no, the letter of an option.

The paper compares strings literally. The functions here accept differences that do not change an answer's
meaning: quotes and accents, articles, numbers in words, a letter in brackets or in a sentence. None of them
raises, whatever the answer: one that cannot be read gives ``None`` (or an empty string) and counts as wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal

ARTICLES = frozenset({"il", "lo", "la", "i", "gli", "le", "l'", "un", "uno", "una", "un'"})

# Alone, these are numbers and not articles: the answer "una" says how many.
_COUNTING_ARTICLES = frozenset({"un", "uno", "una", "un'"})

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘‛ʼʹ´`′＇", "'"))
_ELIDED_ARTICLE = re.compile(r"\b(l'|un')(?=\w)")
_FINAL_ACCENT = re.compile(r"(?<=[aeiou])'(?!\w)")
_INITIALS = re.compile(r"(?<=\b[^\W\d_])\.(?=[^\W\d_]\b)")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_SEPARATOR = re.compile(r"[^\w'.]+|\.(?!\d)|(?<!\d)\.|_")


def _number_words() -> dict[str, str]:
    words = [
        *("zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"),
        *("dieci", "undici", "dodici", "tredici", "quattordici"),
        *("quindici", "sedici", "diciassette", "diciotto", "diciannove"),
    ]
    units = words[1:10]
    for ten in ("venti", "trenta", "quaranta", "cinquanta", "sessanta", "settanta", "ottanta", "novanta"):
        words.append(ten)
        # Before a vowel the ten drops its final vowel: ventuno, ventotto.
        words += [(ten[:-1] if unit[0] in "uo" else ten) + unit for unit in units]
    table = {word: str(number) for number, word in enumerate(words)}
    return {**table, "cento": "100", "mille": "1000"}


NUMBER_WORDS: Mapping[str, str] = _number_words()


def clean(text: str) -> str:
    """Normalise the spelling of a text: NFKC, lower case, straight apostrophes, no control characters."""
    composed = unicodedata.normalize("NFC", text).translate(_APOSTROPHES)
    text = unicodedata.normalize("NFKC", composed).casefold()
    kinds = [(character, unicodedata.category(character)) for character in text]
    # Zero-width characters (Cf) occur inside words, so they vanish; other control characters become blanks.
    text = "".join(" " if kind in ("Cc", "Cs", "Co", "Cn") else c for c, kind in kinds if kind != "Cf")
    return " ".join(text.split())


def without_accents(text: str) -> str:
    """Remove accents: ``citta'``, ``città`` and decomposed ``città`` all become ``citta``."""
    text = _FINAL_ACCENT.sub("", text)
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def normalise(answer: str) -> str:
    """The form in which the ``robust`` metrics compare two short answers.

    Case, Unicode form, quotes, punctuation and accents are ignored. Articles are dropped unless they are the
    whole answer. Numbers in words (to 99, ``cento``, ``mille``) become digits. Prepositions are kept:
    "a casa" is not "casa".
    """
    text = _INITIALS.sub("", _DECIMAL_COMMA.sub(".", clean(answer)))
    text = without_accents(_ELIDED_ARTICLE.sub(r"\1 ", text))
    parts = [part.strip(".") for part in _SEPARATOR.split(text)]
    words = [word for part in parts if (word := part if part in ARTICLES else part.strip("'."))]
    content = [word for word in words if word not in ARTICLES]
    if not content:
        content = ["uno"] if len(words) == 1 and words[0] in _COUNTING_ARTICLES else words
    return " ".join(NUMBER_WORDS.get(word, word) for word in content)


_ANSWER_PREFIX = re.compile(r"^(?:la )?risposta(?: (?:corretta|giusta|esatta))?(?: e)? ")


def read_yes_no(answer: str) -> Literal["sì", "no"] | None:
    """Read yes or no from the first word: "Sì, c'è un cane" is yes, "No." is no; None for anything else.

    "sì e no" and "forse" are neither.
    """
    words = re.findall(r"\w+", without_accents(clean(answer)))
    words = _ANSWER_PREFIX.sub("", " ".join(words)).split()
    if not words or words[0] not in ("si", "no"):
        return None
    if {"si", "no"} <= set(words) <= {"si", "no", "e", "o", "ma"}:
        return None
    return "sì" if words[0] == "si" else "no"


_LETTER = r"[(\[{<\"'«“*]*([a-zA-Z])"
# The whole answer: "C", "(c)", "C.", "**C**", "«C»".
_ALONE = re.compile(_LETTER + r"[\s)\]}>\"'»”*.,:;!?-]*")
# At the start, separated from what follows: "B) un cane", "(B) un cane", "b. un cane", "B - un cane".
_HEAD = re.compile(_LETTER + r"(?:[)\]}>\"'»”*]*\s*[)\]}.:;,]|\s+[-–—=])(?!\w)")
# After a word that announces it: "la risposta è C", "opzione (d)", "lettera B.", "è la C".
_ANNOUNCED = re.compile(
    r"\b(?:risposta|opzione|lettera|scelta|alternativa|soluzione)\b"
    r"(?:\s+(?:corretta|giusta|esatta|finale|migliore))?"
    r"(?:\s*[:=]|\s+(?:è|é|e'|e|sarebbe|dovrebbe essere))?"
    r"(?:\s+(?:la|l'|quella|l'opzione|la lettera|la risposta|opzione|lettera|indicata con))*"
    r"\s*" + _LETTER + r"(?P<end>\s*[)\]}>\"'»”*.,:;!?]|\s*$)?(?!\w)",
    re.IGNORECASE,
)
_ARTICLED = re.compile(r"\b(?:la|La)\s+([A-Z])(?!\w|')")
_BRACKETED = re.compile(r"[(\[]\s*([a-zA-Z])\s*[)\]]")
_CAPITAL = re.compile(r"(?<![\w'])([A-Z])(?![\w'])")
# One-letter words of Italian: at the start of a sentence they are capitals, but no option.
_WORDS = frozenset("AEIO")
_MORE_WORDS = re.compile(r"\s+(?!(?:o|e|oppure)\s+[A-Z]\b)\w")


def read_letter(answer: str, letters: str, choices: Mapping[str, str] | None = None) -> str | None:
    """The option that an answer names, as a capital from ``letters``; None if there is not exactly one.

    An answer that names several options is read only if it announces one of them ("Tra A e B, la risposta è
    B"). "A destra" and "E poi" name none.

    Args:
        answer: the model's answer.
        letters: the options that exist, such as ``"ABCD"``.
        choices: the options' texts by letter; an answer that repeats one of them counts as its letter.
    """
    # The limit keeps the patterns fast on endless answers.
    text = " ".join(unicodedata.normalize("NFKC", answer.translate(_APOSTROPHES))[:2000].split())
    if (alone := _ALONE.fullmatch(text)) and alone[1].upper() in letters:
        return alone[1].upper()
    if choices and (said := normalise(answer)):
        matching = [letter for letter, choice in choices.items() if normalise(choice) == said]
        if len(matching) == 1:
            return matching[0]
    # A small letter after "la risposta è" may be a word ("è a destra"), unless punctuation follows it.
    announced = {m[1].upper() for m in _ANNOUNCED.finditer(text) if m[1].isupper() or m["end"] is not None}
    announced &= set(letters)
    if announced:
        return announced.pop() if len(announced) == 1 else None
    marked = {m[1].upper() for m in (*_BRACKETED.finditer(text), *_ARTICLED.finditer(text))}
    if head := _HEAD.match(text):
        marked.add(head[1].upper())
    for capital in _CAPITAL.finditer(text):
        starts_sentence = capital.start() == 0 or text[: capital.start()].rstrip()[-1:] in (".", "!", "?")
        if not (capital[1] in _WORDS and starts_sentence and _MORE_WORDS.match(text, capital.end())):
            marked.add(capital[1])
    marked &= set(letters)
    return marked.pop() if len(marked) == 1 else None
