"""The words of the miniature in a language: the section ``miniature:`` of its file.

A shape lists its phrases ready-made, and a sentence names in braces the phrase that goes there. So articles,
gender, cases and postpositions need no rules here. docs/miniature.md shows how a language is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from ndino.common.errors import shown
from ndino.common.parsing import NOT_NAMES, names_in_braces
from ndino.languages.fields.schema import control_characters, texts_in
from ndino.languages.language import Language, LanguageError, language

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = ("red", "green", "blue", "yellow")
PLACES = ("top_left", "top_right", "bottom_left", "bottom_right")
TOPICS = (
    "animals", "clothes", "food", "hobbies", "household", "medical", "military", "naturalforces", "people",
    "plants", "seasonal", "space", "sports", "symbols", "town", "vehicles",
)  # fmt: skip
STAMP_COLOURS = (
    "black", "white", "grey", "brown", "beige", "red", "pink", "orange", "yellow", "green", "light_blue",
    "blue", "purple",
)  # fmt: skip

# Fields outside the section that the drawn world needs too.
OUTSIDE = ("short_answer", "exam_question")
# What a key holds: a text for each of these names, so many texts, or any number of them.
TABLES: dict[str, tuple[str, ...]] = {"colours": COLOURS, "fruits": COLOURS, "places": PLACES}
SHAPE_FORMS = ("name", *COLOURS)
COUNTS = 4  # shapes in a scene, at most
FEWEST_SIGNS = 10
LONGEST_SIGN = 8  # letters that are drawn large enough to be read
# Sentences about a shape: their braces name any of its phrases, which every shape must then have.
ABOUT_SHAPES = ("colour_question", "fruit_question", "presence_question", "absent")
# The other sentences with the braces that each must have.
BRACES: dict[str, tuple[str, ...]] = {
    "count_question": (),
    "place_question": ("place",),
    "choice_question": ("place",),
    "description_question": (),
    "caption": ("shapes",),
    "caption_shape": ("shape", "place"),
    "caption_joint": (),
    "placed": ("place", "shape"),
    "absent_joint": (),
    "sign_question": (),
    "sign_caption": ("word",),
}
STAMP_TABLES: dict[str, tuple[str, ...]] = {"topics": TOPICS, "colours": STAMP_COLOURS}
STAMP_BRACES: dict[str, tuple[str, ...]] = {
    "topic_question": (),
    "colour_question": (),
    "fruit_question": (),
    "name_question": (),
    "presence_question": ("thing",),
    "topic": ("topic",),
    "one_colour": ("colour",),
    "more_colours": ("colour", "others"),
    "colour_joint": (),
    "wide": (),
    "tall": (),
    "square": (),
}
# These may be left out: colours that no fruit has, and words of languages that have no articles.
STAMP_LISTS = ("articles", "small_words", "endings")


@dataclass(frozen=True)
class Lexicon:
    """The words of the drawn world.

    Attributes:
        shapes: of each shape its phrases: ``name``, one for each of COLOURS ("a red circle"), and those that
            the sentences name.
        fruits: a fruit of each colour.
        numbers: how many shapes there are, as an answer, from one to four.
        counts: the sentence that says so, from one to four.
        caption: the sentence about ``{shapes}``, each a ``caption_shape``, with ``caption_joint`` between.
        absent: the sentence about the shapes that a scene lacks, with ``absent_joint`` between their phrases.
        signs: words on signs, in capitals.
        short_answer, letter_answer: the tasks' instructions after a question, with the newline before them.
        sheet_question: the question about an exam sheet.
    """

    code: str
    yes: str
    no: str
    short_answer: str
    letter_answer: str
    sheet_question: str
    shapes: Mapping[str, Mapping[str, str]]
    colours: Mapping[str, str]
    fruits: Mapping[str, str]
    places: Mapping[str, str]
    numbers: tuple[str, ...]
    counts: tuple[str, ...]
    colour_question: str
    fruit_question: str
    presence_question: str
    count_question: str
    place_question: str
    choice_question: str
    description_question: str
    caption: str
    caption_shape: str
    caption_joint: str
    placed: str
    absent: str
    absent_joint: str
    signs: tuple[str, ...]
    sign_question: str
    sign_caption: str


@dataclass(frozen=True)
class StampWords:
    """The words of the stamps world, which the data demo uses too.

    Attributes:
        fruits: a fruit of a colour, for those that have one.
        articles: what a caption that names a thing begins with; without any, every short caption does.
        small_words: words that do not tell two captions apart.
        endings: what words lose where captions are compared, the longest that fits ("roses" is like "rose").
    """

    code: str
    name: str
    yes: str
    no: str
    topics: Mapping[str, str]
    colours: Mapping[str, str]
    fruits: Mapping[str, str]
    articles: tuple[str, ...]
    small_words: tuple[str, ...]
    endings: tuple[str, ...]
    topic_question: str
    colour_question: str
    fruit_question: str
    name_question: str
    presence_question: str
    topic: str
    one_colour: str
    more_colours: str
    colour_joint: str
    wide: str
    tall: str
    square: str


# What each section may hold; the rest of the class is from other fields.
_OTHERS = ("code", "name", "yes", "no", "short_answer", "letter_answer", "sheet_question")
_LEXICON = tuple(field.name for field in fields(Lexicon) if field.name not in _OTHERS)
_STAMPS = tuple(field.name for field in fields(StampWords) if field.name not in _OTHERS)


@cache
def lexicon(code: str) -> Lexicon:
    """The drawn world's words in the language with this code.

    Raises:
        LanguageError: there is no file for it, or something is missing or contradictory; all of it is named.
    """
    of = language(code)
    faults = [f"{key} is missing" for key in OUTSIDE if key not in of.words]
    _refuse(code, faults + lexicon_faults(of.miniature))
    return Lexicon(
        **_answers(of),
        short_answer=of.words["short_answer"],
        letter_answer=of.letter_answer,
        sheet_question=of.words["exam_question"],
        **_values(Lexicon, of.miniature),
    )


@cache
def stamp_words(code: str) -> StampWords:
    """The stamps world's words in the language with this code. Raises LanguageError as `lexicon` does."""
    of = language(code)
    _refuse(code, stamp_faults(of.miniature))
    optional: dict[str, Any] = {"fruits": {}, **{name: [] for name in STAMP_LISTS}}
    return StampWords(name=of.name, **_answers(of), **_values(StampWords, optional | of.miniature["stamps"]))


def lexicon_faults(miniature: Mapping[str, Any]) -> list[str]:
    """What is missing in the section ``miniature:`` or contradicts itself, each named by its key."""
    if not miniature:
        return ["miniature is missing"]
    return [*_lexicon_faults(miniature), *_control_faults(miniature)]


def unknown_phrases(miniature: Mapping[str, Any]) -> list[str]:
    """The braces of sentences about shapes whose phrase no shape has: misspelt rather than missing."""
    shapes = _table(miniature, "shapes")
    known = {form for shape in SHAPES for form in _table(shapes, shape)}
    return [
        f"miniature.{sentence} names {{{form}}}, which no shape has"
        for sentence in ABOUT_SHAPES
        if known and _is_text(miniature.get(sentence))
        for form in names_in_braces(miniature[sentence]) or ()
        if form not in known
    ]


def stamp_faults(miniature: Mapping[str, Any]) -> list[str]:
    """The same of ``miniature.stamps``, without which the data demo and WORLD=stamps do not work."""
    if not (stamps := miniature.get("stamps")):
        return ["miniature.stamps is missing"]
    if not isinstance(stamps, Mapping):
        return [f"miniature.stamps: {shown(stamps)} is not names with values"]
    return list(_stamp_faults(stamps))


def _lexicon_faults(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(found, "miniature", (*_LEXICON, "stamps"))
    yield from _not_tables(found, "miniature", ("shapes", *TABLES))
    shapes = _table(found, "shapes")
    yield from _not_tables(shapes, "miniature.shapes", SHAPES)
    forms = [*SHAPE_FORMS]
    for sentence in ABOUT_SHAPES:
        if not _is_text(found.get(sentence)):
            yield _no_text(found, "miniature", sentence)
        elif (named := names_in_braces(found[sentence])) is None:
            yield f"miniature.{sentence} {NOT_NAMES}"
        elif not named:
            yield f"miniature.{sentence} names no phrase of a shape in braces, such as {{definite}}"
        else:
            forms += named
    for shape in SHAPES:
        for form in dict.fromkeys(forms):
            if not _is_text(_table(shapes, shape).get(form)):
                yield _no_text(_table(shapes, shape), f"miniature.shapes.{shape}", form)
    yield from _table_faults(found, "miniature", TABLES)
    yield from _list_faults(found, "miniature", ("numbers", "counts", "signs"))
    for name in ("numbers", "counts"):
        if name in found and (number := len(_list(found, name))) != COUNTS:
            yield f"miniature.{name} has {number} texts, not {COUNTS}, for one to {COUNTS} shapes"
    if "signs" in found and len(set(_list(found, "signs"))) < FEWEST_SIGNS:
        yield f"miniature.signs has fewer than {FEWEST_SIGNS} words"
    for sign in _list(found, "signs"):
        if len(sign) > LONGEST_SIGN or sign != sign.upper():
            yield f'miniature.signs has "{shown(sign)}", not up to {LONGEST_SIGN} letters in capitals'
    yield from _sentence_faults(found, "miniature", BRACES)
    names = {shape: _table(shapes, shape).get("name") for shape in SHAPES}
    phrases = {
        f"{shape}.{colour}": _table(shapes, shape).get(colour) for shape in SHAPES for colour in COLOURS
    }
    for key, texts in (
        ("shapes", names),
        ("shapes", phrases),
        ("colours", _table(found, "colours")),
        ("places", _table(found, "places")),
        ("numbers", dict(enumerate(_list(found, "numbers"), start=1))),
    ):
        yield from _equal(f"miniature.{key}", texts)


def _stamp_faults(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(found, "miniature.stamps", _STAMPS)
    yield from _not_tables(found, "miniature.stamps", (*STAMP_TABLES, "fruits"))
    yield from _table_faults(found, "miniature.stamps", STAMP_TABLES)
    yield from _list_faults(found, "miniature.stamps", tuple(name for name in STAMP_LISTS if name in found))
    yield from _sentence_faults(found, "miniature.stamps", STAMP_BRACES)
    for key in STAMP_TABLES:
        yield from _equal(f"miniature.stamps.{key}", _table(found, key))
    for name in _table(found, "fruits"):
        if name not in STAMP_COLOURS:
            yield f"miniature.stamps.fruits.{name} is not a colour among {', '.join(STAMP_COLOURS)}"


def _unknown(found: Mapping[Any, Any], section: str, names: tuple[str, ...]) -> Iterator[str]:
    yield from (f"{section}.{name}: no such field" for name in found if name not in names)


def _control_faults(found: Mapping[Any, Any]) -> Iterator[str]:
    yield from (
        f'miniature: "{shown(text)}" has the control character {control!r}'
        for text in texts_in(found)
        if (control := next(control_characters(text), ""))
    )


def _not_tables(found: Mapping[Any, Any], section: str, names: tuple[str, ...]) -> Iterator[str]:
    yield from (
        f"{section}.{name}: {shown(found[name])} is not names with texts"
        for name in names
        if name in found and not isinstance(found[name], Mapping)
    )


def _no_text(found: Mapping[Any, Any], section: str, name: str) -> str:
    if name not in found or found[name] == "":
        return f"{section}.{name} is missing"
    return f"{section}.{name}: {shown(found[name])} is not a text (quote it)"


def _table_faults(
    found: Mapping[str, Any], section: str, tables: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    for key, names in tables.items():
        for name in names:
            if not _is_text(_table(found, key).get(name)):
                yield _no_text(_table(found, key), f"{section}.{key}", name)


def _list_faults(found: Mapping[str, Any], section: str, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if name not in found:
            yield f"{section}.{name} is missing"
        elif not isinstance(found[name], list):
            yield f"{section}.{name} is not a list in brackets"
        else:
            # YAML reads bare words such as ON as truth values.
            yield from (
                f"{section}.{name}: {each!r} is not a text (quote it)"
                for each in found[name]
                if not _is_text(each)
            )


def _sentence_faults(
    found: Mapping[str, Any], section: str, sentences: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    for name, wanted in sentences.items():
        if not _is_text(found.get(name)):
            yield _no_text(found, section, name)
            continue
        if (named := names_in_braces(found[name])) is None:
            yield f"{section}.{name} {NOT_NAMES}"
            continue
        yield from (f"{section}.{name} has no {{{brace}}}" for brace in wanted if brace not in named)
        yield from (f"{section}.{name} cannot have {{{brace}}}" for brace in named if brace not in wanted)


def _equal(key: str, texts: Mapping[Any, Any]) -> Iterator[str]:
    """Two names with one text: answers and options could not be told apart."""
    seen: dict[str, Any] = {}
    for name, text in texts.items():
        if _is_text(text) and (other := seen.setdefault(text.casefold(), name)) != name:
            yield f"{key}: {other} and {name} are both {text!r}"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _table(found: Mapping[str, Any], key: str) -> Mapping[Any, Any]:
    value = found.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(found: Mapping[str, Any], key: str) -> list[str]:
    value = found.get(key)
    return [each for each in value if _is_text(each)] if isinstance(value, list) else []


def _answers(of: Language) -> dict[str, Any]:
    return {"code": of.code, "yes": of.yes[0], "no": of.no[0]}


def _values(kind: type, found: Mapping[str, Any]) -> dict[str, Any]:
    """What the section has of a class's fields."""
    names = [field.name for field in fields(kind) if field.name in found]
    return {name: tuple(found[name]) if isinstance(found[name], list) else found[name] for name in names}


def _refuse(code: str, faults: list[str]) -> None:
    if faults:
        raise LanguageError(
            f"language {code!r}: {'; '.join(faults)} (remedy: complete ndino/languages/{code}.yaml; "
            "ndino/languages/en.yaml shows what each holds)"
        )
