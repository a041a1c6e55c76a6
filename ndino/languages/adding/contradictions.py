"""What contradicts libraries in a language's file: a code that no tool knows, words in another script."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ndino.languages.fields.schema import texts_in
from ndino.languages.identify import script_of
from ndino.languages.known.tool_codes import TOOLS

Sound = Mapping[str, Any]
# ISO 15924 names of scripts whose letters have the same name in Unicode.
SCRIPTS = {"Latn": "LATIN", "Cyrl": "CYRILLIC", "Grek": "GREEK", "Arab": "ARABIC", "Hebr": "HEBREW"}


def contradictions_of_codes(sound: Sound) -> list[str]:
    """What is wrong with ``codes`` and ``script`` (fields as `schema.sound_fields` gives them)."""
    return [*_codes(sound), *_script(sound)]


def _codes(sound: Sound) -> Iterator[str]:
    from babel import Locale, UnknownLocaleError
    from num2words import CONVERTER_CLASSES

    codes = sound.get("codes", {})
    for tool in sorted({*codes} - {*TOOLS}):
        yield f"codes has {tool}, which is none of {', '.join(TOOLS)}"
    if (numbers := codes.get("num2words")) and numbers not in CONVERTER_CLASSES:
        yield f'codes.num2words is "{numbers}", which num2words does not know'
    if locale := codes.get("cldr"):
        try:
            Locale.parse(locale, sep="-")
        except (UnknownLocaleError, ValueError):
            yield f'codes.cldr is "{locale}", which CLDR does not know'
    if (script := sound.get("script")) and not re.fullmatch("[A-Z][a-z]{3}", script):
        yield f'script is "{script}", not four letters such as Latn'


def _script(sound: Sound) -> Iterator[str]:
    """Whether the words are in the script that the file names."""
    script = sound.get("script", "")
    # Units, signs and names are Latin in every language.
    keys = ("yes", "no", "markers", "short_answer", "reading.announcers", "reading.copulas", "reading.leads")
    texts = "".join(text for key in keys for text in texts_in(sound.get(key, ())))
    letters = Counter(filter(None, map(script_of, texts)))
    if not letters or not script:
        return
    found, said = letters.most_common(1)[0][0], SCRIPTS.get(script)
    if (said or found in SCRIPTS.values()) and found != said:
        yield f"script is {script}, but the words are {found.capitalize()}"
