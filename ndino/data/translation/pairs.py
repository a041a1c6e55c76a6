"""Parse The Cauldron's question and answer texts into a `Pair`, and write a pair as the texts of a row.

The texts of The Cauldron are generated from templates and have few forms (the code that built them is in the
repository huggingface/smollm, vision/data/datasets_processing_scripts). There are many instructions on how to
answer; they are recognized by their position only, never by their words::

    Question: Q / Choices: / A. x / B. y / an instruction            Answer: B
    Q / an instruction / Options: X, y, z.                           Y.
    Q / `Answer:` and `Rationale:` explained / Options: X, y, z.     Answer: y. / Rationale: r
    Q / an instruction, both in one line, or an instruction alone    a text, a number, a letter, Yes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ndino.formats.prompts import IMAGE_TOKEN
from ndino.languages.language import Language

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class PairError(ValueError):
    """A pair in none of the known forms; ``reason`` is short and stable, so that it can be counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Pair:
    """Question and answer in one language.

    Attributes:
        question: with its instructions, each on a line of its own.
        answer: the text; empty where ``choice``, an index into ``options``, is the answer.
        listed: the options are on one line and the answer is one of them in words; otherwise each option has
            a letter and a line, and the answer is a letter.
        quality: of a translated pair the lowest score of its texts, where they were scored.
    """

    question: str
    answer: str = ""
    options: tuple[str, ...] = ()
    choice: int | None = None
    explanation: str = ""
    listed: bool = False
    quality: float | None = None


_LETTERED = re.compile(r"(?P<question>.*?)\n(?:Choices|Options):[ \t]*\n(?P<options>.+)", re.S)
_OPTION = re.compile(r"(?:Choice\s+)?(?P<letter>[A-Z])[.:)]\s?(?P<text>.*)", re.S)
_LISTED = re.compile(r"(?P<question>.*)\nOptions:[ \t]*(?P<options>[^\n]+?)\.?", re.S)
_LETTER_ANSWER = re.compile(r"(?:Answer:\s*)?\(?(?P<letter>[A-Z])\)?\.?")
_EXPLAINED = re.compile(r"Answer:\s*(?P<answer>[^\n]+?)\s*\n\s*Rationale:\s*(?P<explanation>.+)", re.S)
_FORMAT = re.compile(r"\b(?:Answer|Rationale):")
_ASKS = re.compile(r"\?[\"'»”’)\]]*\s*\Z")


def read_pair(user: object, assistant: object) -> Pair:
    """Parse a question (``user``) and an answer (``assistant``) of The Cauldron.

    Raises:
        PairError: a side is empty or not a text, or the options or the correct one cannot be recognized.
    """
    user, assistant = _text(user, "question"), _text(assistant, "answer")
    if found := _LETTERED.fullmatch(user):
        options = _lettered_options(found["options"])
        answer = _LETTER_ANSWER.fullmatch(assistant)
        choice = LETTERS.index(answer["letter"]) if answer else len(options)
        if choice >= len(options):
            raise PairError("answer is none of the options")
        asked = re.sub(r"^Question:\s*", "", found["question"], count=1, flags=re.M).strip()
        return _with_question(Pair(asked, "", options, choice))
    if found := _LISTED.fullmatch(user):
        asked, row = found["question"].strip(), found["options"]
        # The source wrote the options as one sentence: a capital first, all other letters small.
        row = row[:1].lower() + row[1:] if row == row.capitalize() else row
        options = tuple(option.strip() for option in row.split(", "))
        explained = _EXPLAINED.fullmatch(assistant)
        choice = _choice(explained["answer"] if explained else assistant, options)
        if not explained:
            return _with_question(Pair(asked, "", options, choice, listed=True))
        explanation = explained["explanation"].strip()
        return _with_question(Pair(_without_format(asked), "", options, choice, explanation, listed=True))
    return Pair(user, assistant)


def asking_line(lines: Sequence[str]) -> int:
    """The index of the line that asks: the first that ends in a question mark, else 0."""
    return next((number for number, line in enumerate(lines) if _ASKS.search(line)), 0)


def write_pair(pair: Pair, words: Language) -> tuple[str, str]:
    """The texts of user and assistant in a row.

    Lettered options have the form of the benchmarks (`tasks_it/seedbench_it`): the language's own instruction
    follows them, and the answer is the letter alone, since the paper's metrics compare it with the model's
    whole answer or with its first character.
    """
    if pair.choice is None:
        return pair.question, pair.answer
    lines, right = [pair.question], pair.options[pair.choice]
    if not pair.listed:
        lines += [f"{LETTERS[index]}. {option}" for index, option in enumerate(pair.options)]
        return "\n".join(lines) + words.letter_answer, LETTERS[pair.choice]
    written = {marker: names[0] for marker, names in words.markers.items()}
    row = f"{written['options']}: {capital(', '.join(pair.options))}."
    if not pair.explanation:
        return "\n".join([*lines, row]), f"{capital(right)}."
    answer = f"{written['answer']}: {right}.\n{written['explanation']}: {pair.explanation}"
    return "\n".join([*lines, words.explained_answer, row]), answer


def capital(text: str) -> str:
    """``text`` with a capital first letter, otherwise unchanged."""
    return text[:1].upper() + text[1:]


def _text(value: object, what: str) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not any(character.isalnum() for character in text):
        raise PairError(f"no {what}")
    if IMAGE_TOKEN in text:
        raise PairError(f"{IMAGE_TOKEN} in the {what}")
    return text


def _with_question(pair: Pair) -> Pair:
    if not pair.question:
        raise PairError("no question")
    return pair


def _without_format(question: str) -> str:
    """A question without the lines that explain the format of an answer with its reason."""
    lines = question.split("\n")
    asking = asking_line(lines)
    return "\n".join(line for n, line in enumerate(lines) if n == asking or not _FORMAT.search(line)).strip()


def _lettered_options(text: str) -> tuple[str, ...]:
    options: list[str] = []
    wrapped: list[str] = []  # lines after the last option so far
    for line in filter(None, map(str.strip, text.splitlines())):
        found = _OPTION.fullmatch(line)
        if found and len(options) < len(LETTERS) and found["letter"] == LETTERS[len(options)]:
            if options:
                options[-1] = " ".join([options[-1], *wrapped]).strip()
            options.append(found["text"].strip())
            wrapped = []
        elif options:
            wrapped.append(line)
        else:
            raise PairError("options cannot be told apart")
    # The last of the lines after the last option is the source's instruction.
    if options:
        options[-1] = " ".join([options[-1], *wrapped[:-1]]).strip()
    if len(options) < 2 or not all(options):
        raise PairError("options cannot be told apart")
    return tuple(options)


def _choice(said: str, options: tuple[str, ...]) -> int:
    wanted = said.strip().removesuffix(".").casefold()
    found = [index for index, option in enumerate(options) if option.casefold() == wanted]
    if len(options) < 2 or not all(options):
        raise PairError("options cannot be told apart")
    if not found:
        raise PairError("answer is none of the options")
    return found[0]
