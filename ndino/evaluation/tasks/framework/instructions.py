"""The paper's two instructions, which follow a question in its prompt, and the request for a caption."""

from __future__ import annotations

from collections.abc import Mapping

from ndino.languages.answers import reader
from ndino.languages.fields.schema import needed_fields
from ndino.languages.language import LanguageError, fields_of, language, missing_field


def short_answer(code: str) -> str:
    """The instruction after a question that wants a short answer, with the newline before it."""
    return language(code).words["short_answer"]


def letter_answer(code: str) -> str:
    """The instruction after lettered options, with the newline before it."""
    return language(code).letter_answer


def lettered_prompt(question: str, options: Mapping[str, str], code: str) -> str:
    """The prompt of a question with its options by letter, a line each, and `letter_answer`."""
    lines = [f"{letter}. {text}" for letter, text in options.items()]
    return "\n".join([question, *lines]) + letter_answer(code)


def caption_request(code: str) -> str:
    """The request to describe an image in one sentence.

    Raises:
        LanguageError: the language's file has none.
    """
    found = language(code).words.get("caption_request")
    if found is None:
        raise missing_field(code, "caption_request")
    return found


def without_instruction(prompt: str, code: str) -> str:
    """The question of a prompt."""
    return prompt.removesuffix(short_answer(code)).removesuffix(letter_answer(code))


def require_tasks(code: str) -> None:
    """Check that a language's file has what the tasks need.

    Raises:
        LanguageError: there is no such file, or it lacks a field; names all that are missing.
    """
    fields = fields_of(code)
    # Without a file the reader says which languages there are.
    if fields and (missing := [field for field in needed_fields("data", "tasks") if not fields.get(field)]):
        raise LanguageError(
            f"language {code!r}: has no tasks without {', '.join(missing)} "
            f"(remedy: add them to ndino/languages/{code}.yaml; ndino language check {code})"
        )
    reader(code)
