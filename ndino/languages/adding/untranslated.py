"""What of a language's file is still in English: the marks were taken away, and nothing was translated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ndino.languages.fields.schema import MINIATURE, LanguageField, schema, texts_in
from ndino.languages.language import fields_of

ENGLISH = "en"
FEWEST_WORDS = 2  # a single word, such as "no", "minus" or "taxi", is in other languages too
_IN_BRACES = re.compile(r"\{[^{}]*\}")
_WORD = re.compile(r"[^\W\d_]{2,}")


def english_fields(code: str, sound: Mapping[str, Any]) -> list[LanguageField]:
    """The fields that are what `ndino language new` writes in English; none of English itself."""
    if code == ENGLISH:
        return []
    return [field for key, field in schema().items() if key in sound and _is_english(sound[key], field)]


def english_texts(code: str, miniature: Mapping[str, Any]) -> list[str]:
    """The keys of the texts of ``miniature`` that are those of English."""
    if code == ENGLISH:
        return []
    english = dict(_texts(MINIATURE, fields_of(ENGLISH).get(MINIATURE, {})))
    found = _texts(MINIATURE, miniature)
    return [key for key, text in found if english.get(key) == text and _says_much(text)]


def _is_english(value: Any, field: LanguageField) -> bool:
    if field.rare or not _says_much(" ".join(texts_in(field.english))):
        return False
    if field.kind == "counts":  # of a language that num2words lacks, the file has more of them
        return field.english.items() <= value.items()
    return value == field.english


def _says_much(text: str) -> bool:
    return len(_WORD.findall(_IN_BRACES.sub("", text))) >= FEWEST_WORDS


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _texts(f"{key}.{name}", part)
    elif isinstance(value, list):
        for place, part in enumerate(value, start=1):
            yield from _texts(f"{key}.{place}", part)
    elif isinstance(value, str):
        yield key, value
