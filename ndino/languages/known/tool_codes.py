"""What tools and published sets call a language: made of our code, or said by ``codes`` in its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ndino.common.errors import UsageError
from ndino.languages.language import CODE, LanguageError, fields_of, written_fields


@dataclass(frozen=True)
class Tool:
    """A tool or a set with names of its own for languages.

    Attributes:
        name: what messages call that name, with the tool.
        made: makes it of our code; empty where it cannot.
    """

    name: str
    made: Callable[[str], str]


def code_for(tool: str, code: str) -> str:
    """What a tool, one of `TOOLS`, calls the language with our ``code``, which need not have a file.

    Raises:
        LanguageError: the tool has no name for it, or anything in its file is wrong.
    """
    fields_of(code)  # refuses a file with anything wrong in it
    if found := known_code(tool, code):
        return found
    raise LanguageError(
        f"language {code!r}: no {TOOLS[tool].name} is known for it "
        f"(remedy: codes: {{{tool}: ...}} in ndino/languages/{code}.yaml)"
    )


def known_code(tool: str, code: str) -> str:
    """As `code_for`, but empty where the tool has no name for the language."""
    written = written_fields(code).sound.get("codes", {})
    return str(written[tool] or "") if tool in written else TOOLS[tool].made(code)


def tesseract_package(pack: str) -> str:
    """Debian's package of one of Tesseract's packs, such as ``tesseract-ocr-spa``."""
    return f"tesseract-ocr-{pack.replace('_', '-').lower()}"


def script_of_language(code: str) -> str:
    """The script of a language by ISO 15924 (``Latn``): that of its file, else the usual one; else empty."""
    import langcodes

    if written := written_fields(code).sound.get("script"):
        return written
    try:
        return langcodes.Language.get(code).maximize().script or ""
    except ValueError:
        return ""


def need_code(text: str, option: str = "") -> str:
    """``text``, if it is a language's code by BCP 47, with or without a file here.

    Args:
        option: what names it in the message, such as ``--lang``.

    Raises:
        UsageError: it is none.
    """
    import langcodes

    if not CODE.fullmatch(text) or not langcodes.tag_is_valid(text):
        small = text.lower()
        known = small != text and CODE.fullmatch(small) and langcodes.tag_is_valid(small)
        remedy = f"the code is {small}" if known else "one by BCP 47, such as es"
        raise UsageError(f"{f'{option} ' * bool(option)}{text!r}: not a language code (remedy: {remedy})")
    return text


def _same(code: str) -> str:
    return code


def _three_letters(code: str) -> str:
    """ISO 639-3: ``spa`` for ``es``."""
    import langcodes

    try:
        return langcodes.Language.get(code).to_alpha3()
    except (LookupError, ValueError):
        return ""


def _flores(code: str) -> str:
    letters, script = _three_letters(code), script_of_language(code)
    return f"{letters}_{script}" if letters and script else ""


def _english_name(code: str) -> str:
    return written_fields(code).sound.get("name", "")


def _num2words(code: str) -> str:
    from num2words import CONVERTER_CLASSES

    return code if code in CONVERTER_CLASSES else ""


TOOLS: Mapping[str, Tool] = {
    "madlad": Tool("MADLAD tag", _same),
    "flores": Tool("FLORES code", _flores),
    "apertium": Tool("Apertium code", _three_letters),
    "tesseract": Tool("Tesseract pack code", _three_letters),
    "wit": Tool("WIT code", _same),
    "eurlex": Tool("EUR-Lex code", _three_letters),
    "mtvqa": Tool("MTVQA code", _same),
    "exams-v": Tool("EXAMS-V name", _english_name),
    "xm3600": Tool("XM3600 code", _same),
    "num2words": Tool("num2words code", _num2words),
    "cldr": Tool("CLDR locale", _same),
}
