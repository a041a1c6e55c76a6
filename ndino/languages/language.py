"""Loads the words of a language from `CODE.yaml` beside this file; README.md describes the fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ndino.common.errors import UsageError, reason_of, remedy_for, shown
from ndino.common.files import key_of
from ndino.common.parsing import REPEATED, parse_yaml
from ndino.languages.fields.contradictions import contradictions_in_words
from ndino.languages.fields.schema import MINIATURE, flattened, sound_fields

FOLDER = Path(__file__).parent
CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
MARKERS = ("question", "options", "answer", "explanation")


class LanguageError(UsageError):
    """There is no file for a language, or its file lacks a field."""


@dataclass(frozen=True)
class Language:
    """One language's file. Where a field has several words, the first is written and all are read.

    Attributes:
        markers: the words that announce a question, options, answer and explanation.
        letter_answer: the instruction after lettered options, with the newline before it.
        explained_answer: the instruction after a question whose answer comes with a reason, its markers
            filled in.
        words: the rest of the file, for fields that only one command needs.
        miniature: the words of the miniature, see `lexicon.py`; empty where the file has none.
    """

    code: str
    name: str
    markers: Mapping[str, tuple[str, ...]]
    yes: tuple[str, ...]
    no: tuple[str, ...]
    letter_answer: str
    explained_answer: str
    words: Mapping[str, Any]
    miniature: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """A key of everything here that translated rows depend on."""
        return key_of(
            self.code, dict(self.markers), self.yes, self.no, self.letter_answer, self.explained_answer
        )

    @property
    def scores_identity(self) -> str:
        """A key of everything here by which answers are read and scored."""
        numbers = self.words.get("number_words"), self.words.get("codes", {}).get("num2words")
        return key_of(self.yes, self.no, self.words.get("reading"), *numbers)


def codes() -> list[str]:
    """The codes of the languages that have a file. An editor's or a copy's (``es copy.yaml``) is none."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if re.fullmatch("[A-Za-z0-9-]+", path.stem))


@cache
def language(code: str) -> Language:
    """The words of the language with this code, such as ``it``.

    Raises:
        LanguageError: there is no file for it, a field is missing, or anything in it is wrong.
    """
    if code not in codes():
        raise LanguageError(f"language {code!r}: not among {', '.join(codes())} (remedy: {_remedy(code)})")
    fields = dict(fields_of(code))
    # Apart, as scores depend on the other words.
    miniature = fields.pop("miniature", None) or {}
    if empty := next((key for key in ("yes", "no") if fields.get(key) == []), None):
        raise missing_field(code, empty)
    try:
        written = {marker: fields["markers"][marker][0] for marker in MARKERS}
        return Language(
            code=code,
            name=fields["name"],
            markers={marker: tuple(fields["markers"][marker]) for marker in MARKERS},
            yes=tuple(fields["yes"]),
            no=tuple(fields["no"]),
            letter_answer=fields["letter_answer"],
            explained_answer=fields["explained_answer"].format_map(written),
            words=fields,
            miniature=miniature,
        )
    except KeyError as error:
        raise missing_field(code, error.args[0]) from error


def canonical_code(text: str) -> str:
    """A language's code as BCP 47 writes it (``pt-BR`` for pt_br, ``da`` for dan); empty if it is none."""
    import langcodes

    try:
        code = langcodes.standardize_tag(text.strip())
    except ValueError:
        return ""
    return code if text.strip() and CODE.fullmatch(code) and langcodes.tag_is_valid(code) else ""


def _remedy(code: str) -> str:
    if re.search("[, ]", code.strip()):
        return "name one language: this takes no list of them"
    if not (canonical := canonical_code(code)):
        return "one of these"
    if code != canonical:
        return f"the code is {canonical}"
    return f"write ndino/languages/{code}.yaml with ndino language new {code}"


@dataclass(frozen=True)
class WrittenFields:
    """What a language's file holds, checked.

    Attributes:
        all: all fields that have a value.
        sound: those that are right, by the keys of `fields/schema.py`.
        wrong: what is wrong with the others or between them, each named by its key.
    """

    all: Mapping[Any, Any]
    sound: Mapping[str, Any]
    wrong: tuple[str, ...]


def fields_of(code: str) -> Mapping[str, Any]:
    """All fields of a language's file that have a value; none for a language without a file.

    Raises:
        LanguageError: it is no YAML with fields, or anything in it is wrong.
    """
    written = written_fields(code)
    if written.wrong:
        raise LanguageError(
            f"language {code!r}: {written.wrong[0]} "
            f"(remedy: ndino language check {code} names all that is wrong)"
        )
    return written.all


def written_fields(code: str) -> WrittenFields:
    """The same with what is wrong in the file, for those who name all of that.

    Raises:
        LanguageError: it is no YAML with fields; names the line.
    """
    path = FOLDER / f"{code}.yaml"
    try:
        stat = path.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            return WrittenFields({}, {}, ())
        raise LanguageError(
            f"{path}: {error.strerror} (remedy: put a file there, or remove the link)"
        ) from error
    if not path.is_file():
        raise LanguageError(f"{path}: is a folder, not a file (remedy: remove it)")
    return _read(path, stat.st_mtime_ns, stat.st_size)


@cache
def _read(path: Path, time: int, size: int) -> WrittenFields:
    """The fields of a file as it was at a time, which is asked for often while it takes 0.1 s to parse."""
    try:
        fields = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = remedy_for(error, "see that the file can be read")
        raise LanguageError(f"{path}: {error.strerror} (remedy: {remedy})") from error
    except UnicodeDecodeError as error:
        raise LanguageError(f"{path}: {reason_of(error)} (remedy: save it as UTF-8)") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        if error.context == REPEATED:
            raise LanguageError(
                f"{path}{line}: {error.problem} (remedy: keep one of them, with all that belongs to it)"
            ) from error
        raise LanguageError(
            f"{path}{line}: no YAML, {error.problem or error.context} "
            "(remedy: mend that line; words with : , { } [ ] # or quotes in them belong in quotes)"
        ) from error
    if not isinstance(fields, dict):
        raise LanguageError(f"{path}: no fields in it (remedy: ndino language new writes a file with them)")
    fields = _without_empty(fields)
    sound, wrong = sound_fields(flattened(fields))
    wrong += contradictions_in_words(sound)
    if not isinstance(fields.get(MINIATURE, {}), dict):
        wrong.append(f"{MINIATURE}: {shown(fields[MINIATURE])} is not names with values")
    return WrittenFields(fields, sound, tuple(wrong))


def _without_empty(fields: dict[Any, Any]) -> dict[Any, Any]:
    return {
        key: _without_empty(value) if isinstance(value, dict) else value
        for key, value in fields.items()
        if value is not None
    }


def code_of_task(name: str) -> str | None:
    """The code of the language in the name of a task, group or set of answers, such as ``it`` of ``pope-it``.

    None where the name ends with no language that has a file.
    """
    return max((code for code in codes() if name.endswith(f"-{code}")), key=len, default=None)


def editors_notes(code: str) -> tuple[str, ...]:
    """What editors of Wikipedia write in brackets into a text; empty for a language without a file."""
    return tuple(language(code).words.get("editors_notes", ())) if code in codes() else ()


def missing_field(code: str, field: str) -> LanguageError:
    """The error for a field that is missing in a language's file."""
    return LanguageError(
        f"language {code!r}: {field} is missing "
        f"(remedy: add it to ndino/languages/{code}.yaml; ndino language check {code} names all that is)"
    )
