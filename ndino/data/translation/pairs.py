"""A question and its answer taken apart: what The Cauldron's texts say, and what a row says.

The texts of The Cauldron have few forms (they are made by templates; its builders' code is in the repository
huggingface/smollm, vision/data/datasets_processing_scripts). Instructions tell how to answer; there are many,
and none is known here by its words, only by its place::

    Question: Q / Choices: / A. x / B. y / an instruction            Answer: B
    Q / an instruction / Options: X, y, z.                           Y.
    Q / one with `Answer:` and `Rationale:` / Options: X, y, z.      Answer: y. / Rationale: r
    Q / an instruction, Q with one in its own line, or one alone     a text, a number, a letter, Yes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ndino.formats.prompts import IMAGE_TOKEN
from ndino.languages.language import Language

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class PairError(ValueError):
    """A pair that has none of the known forms; ``reason`` is short and stable, to count by."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Pair:
    """Question and answer in one language.

    Attributes:
        question: with the instructions around it, each on a line of its own.
        answer: the text; empty where ``choice``, an index into ``options``, is the answer.
        listed: options in a row and answered in words; otherwise one a line with letters, answered by letter.
    """

    question: str
    answer: str = ""
    options: tuple[str, ...] = ()
    choice: int | None = None
    explanation: str = ""
    listed: bool = False


_LETTERED = re.compile(r"(?P<question>.*?)\n(?:Choices|Options):[ \t]*\n(?P<options>.+)", re.S)
_OPTION = re.compile(r"(?:Choice\s+)?(?P<letter>[A-Z])[.:)]\s?(?P<text>.*)", re.S)
_LISTED = re.compile(r"(?P<question>.*)\nOptions:[ \t]*(?P<options>[^\n]+?)\.?", re.S)
_LETTER_ANSWER = re.compile(r"(?:Answer:\s*)?\(?(?P<letter>[A-Z])\)?\.?")
_EXPLAINED = re.compile(r"Answer:\s*(?P<answer>[^\n]+?)\s*\n\s*Rationale:\s*(?P<explanation>.+)", re.S)
_FORMAT = re.compile(r"\b(?:Answer|Rationale):")
_ASKS = re.compile(r"\?[\"'»”’)\]]*\s*\Z")


def read_pair(user: object, assistant: object) -> Pair:
    """Take a pair of The Cauldron apart.

    Raises:
        PairError: a side is empty or no text, the options or the answer among them cannot be told.
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
        # The source made one sentence of them: a capital at its head, small letters everywhere else.
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
    """Which of a question's lines asks: the first that ends in a question mark, else the first."""
    return next((number for number, line in enumerate(lines) if _ASKS.search(line)), 0)


def write_pair(pair: Pair, words: Language) -> tuple[str, str]:
    """What the user and the assistant of a row say.

    Lettered options stand as the benchmarks ask them (`tasks_it/seedbench_it`), with the language's own
    instruction behind them and the bare letter as the answer: the paper's metrics compare it with the first
    character, or with all, of what a model says.
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
    """``text`` with a capital at its head, the rest as it is."""
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
    """A question without the lines that say how an answer and its reason are written."""
    lines = question.split("\n")
    asking = asking_line(lines)
    return "\n".join(line for n, line in enumerate(lines) if n == asking or not _FORMAT.search(line)).strip()


def _lettered_options(text: str) -> tuple[str, ...]:
    options: list[str] = []
    wrapped: list[str] = []  # what stands behind the last option
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
    # The last line behind the last option is the source's instruction.
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
