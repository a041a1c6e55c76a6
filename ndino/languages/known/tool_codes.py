"""What tools and published sets call a language: made of our code, or said by ``codes`` in its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ndino.common.errors import UsageError
from ndino.languages.language import CODE, LanguageError, canonical_code, codes, fields_of, written_fields


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
    """``text``, if a file here has this name or it is a language's code as BCP 47 writes it.

    Args:
        option: what names it in the message, such as ``--lang``.

    Raises:
        UsageError: it is none.
    """
    canonical = canonical_code(text)
    if text and (text == canonical or (text in codes() and CODE.fullmatch(text))):
        return text
    given = f"{option} {text!r}" if option else repr(text)
    remedy = f"the code is {canonical}" if canonical else "one by BCP 47, such as es"
    raise UsageError(f"{given}: not a language code (remedy: {remedy})")


def listed_code(code: str) -> str:
    """The code under which tools and sets list a language: ``code`` without what they do not tell apart.

    That is the region, and the script unless it is another one than the language's usual: ``pt`` for pt-BR,
    ``zh`` for zh-Hans-CN, but ``zh-Hant`` for zh-TW.
    """
    import langcodes

    try:
        tag = langcodes.Language.get(code)
    except ValueError:
        return code
    usual, script = (one.maximize().script for one in (langcodes.Language.make(language=tag.language), tag))
    # Bokmål is listed under the code of all Norwegian.
    language = "no" if tag.language == "nb" else str(tag.language)
    return f"{language}-{script}" if script != usual else language


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


def _tesseract(code: str) -> str:
    language, _, script = listed_code(code).partition("-")
    if language == "zh":
        return "chi_tra" if script_of_language(code) == "Hant" else "chi_sim"
    letters = _three_letters(language)
    return f"{letters}_{script.lower()}" if script and letters else letters


def _wit(code: str) -> str:
    # By the cards of google/wit and wikimedia/wit_base on the hub.
    listed = listed_code(code)
    return {"he": "iw", "zh-Hant": "zh-TW"}.get(listed, listed)


def _english_name(code: str) -> str:
    from babel import Locale

    named = Locale("en").languages.get(listed_code(code).replace("-", "_")) if "-" in code else None
    return named or written_fields(code).sound.get("name", "")


def _small_english_name(code: str) -> str:
    return _english_name(code).lower()


def _num2words(code: str) -> str:
    from num2words import CONVERTER_CLASSES

    listed = listed_code(code)
    names = (code.replace("-", "_"), {"kk": "kz"}.get(listed, listed))
    return next((name for name in names if name in CONVERTER_CLASSES), "")


TOOLS: Mapping[str, Tool] = {
    "madlad": Tool("MADLAD tag", listed_code),
    "flores": Tool("FLORES code", _flores),
    "apertium": Tool("Apertium code", _three_letters),
    "tesseract": Tool("Tesseract pack code", _tesseract),
    "wit": Tool("WIT code", _wit),
    "eurlex": Tool("EUR-Lex code", _three_letters),
    "mtvqa": Tool("MTVQA code", listed_code),
    "exams-v": Tool("EXAMS-V name", _english_name),
    "m3exam": Tool("M3Exam name", _small_english_name),
    "xm3600": Tool("XM3600 code", listed_code),
    "num2words": Tool("num2words code", _num2words),
    "cldr": Tool("CLDR locale", str),
}
