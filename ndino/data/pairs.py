"""A question and its answer taken apart: what The Cauldron's texts say, and what a row says.

The texts of The Cauldron have few forms (they are made by templates; its builders' code is in the repository
huggingface/smollm, vision/data/datasets_processing_scripts)::

    Question: Q / Choices: / A. x / B. y / Answer with the letter.      Answer: B
    Q / an instruction / Options: X, y, z.                              Y.   or   Answer: y. / Rationale: r
    Q / an instruction                                                  a text, a number, Yes.
    an instruction alone                                                a text, a letter, Yes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ndino.data.languages import Language, known_instructions
from ndino.prompts import IMAGE_TOKEN

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class PairError(ValueError):
    """A pair that has none of the known forms; ``reason`` is short and stable, to count by."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Instruction:
    """A known sentence that tells how to answer, with the white space between it and the question."""

    sentence: str
    space: str


@dataclass(frozen=True)
class Pair:
    """Question and answer in one language.

    Attributes:
        question: empty where instructions are all that the user says.
        answer: the text; empty where ``choice``, an index into ``options``, is the answer.
        listed: options in a row and answered in words; otherwise one a line with letters, answered by letter.
        before, after: instructions around the question.
    """

    question: str
    answer: str = ""
    options: tuple[str, ...] = ()
    choice: int | None = None
    explanation: str = ""
    listed: bool = False
    before: tuple[Instruction, ...] = ()
    after: tuple[Instruction, ...] = ()


_LETTERED = re.compile(r"(?P<question>.*?)\n(?:Choices|Options):[ \t]*\n(?P<options>.+)", re.S)
_OPTION = re.compile(r"(?:Choice\s+)?(?P<letter>[A-Z])[.:)]\s?(?P<text>.*)", re.S)
_LISTED = re.compile(r"(?P<question>.*)\nOptions:[ \t]*(?P<options>[^\n]+?)\.?", re.S)
_LETTER_ANSWER = re.compile(r"(?:Answer:\s*)?\(?(?P<letter>[A-Z])\)?\.?")
_EXPLAINED = re.compile(r"Answer:\s*(?P<answer>[^\n]+?)\s*\n\s*Rationale:\s*(?P<explanation>.+)", re.S)


def read_pair(user: object, assistant: object) -> Pair:
    """Take a pair of The Cauldron apart.

    Raises:
        PairError: a side is empty or no text, the options or the answer among them cannot be told.
    """
    user, assistant = _text(user, "question"), _text(assistant, "answer")
    before, question, after = take_instructions(user)
    if found := _LETTERED.fullmatch(question):
        options = _lettered_options(found["options"])
        answer = _LETTER_ANSWER.fullmatch(assistant)
        choice = LETTERS.index(answer["letter"]) if answer else len(options)
        if choice >= len(options):
            raise PairError("answer is none of the options")
        asked = re.sub(r"^Question:\s*", "", found["question"], count=1, flags=re.M).strip()
        return _with_question(Pair(asked, "", options, choice, before=before, after=after))
    if found := _LISTED.fullmatch(question):
        # The instruction stands between the question and its options.
        inner_before, asked, inner_after = take_instructions(found["question"].strip())
        row = found["options"]
        # The source made one sentence of them: a capital at its head, small letters everywhere else.
        row = row[:1].lower() + row[1:] if row == row.capitalize() else row
        options = tuple(option.strip() for option in row.split(", "))
        explained = _EXPLAINED.fullmatch(assistant)
        said = explained["answer"] if explained else assistant
        choice = _choice(said, options)
        explanation = explained["explanation"].strip() if explained else ""
        before, after = (*before, *inner_before), (*inner_after, *after)
        return _with_question(Pair(asked, "", options, choice, explanation, True, before, after))
    return Pair(question, assistant, before=before, after=after)


def take_instructions(text: str) -> tuple[tuple[Instruction, ...], str, tuple[Instruction, ...]]:
    """Known instructions at the beginning, the rest (maybe empty), and those at the end."""
    head, tail = _instruction_patterns()
    before: list[Instruction] = []
    after: list[Instruction] = []
    while found := tail.search(text):
        after.insert(0, Instruction(found["sentence"], found["space"]))
        text = text[: found.start()]
    while found := head.match(text):
        before.append(Instruction(found["sentence"], found["space"]))
        text = text[found.end() :]
    return tuple(before), text.strip(), tuple(after)


def write_pair(pair: Pair, words: Language, instructions: Mapping[str, str]) -> tuple[str, str]:
    """What the user and the assistant of a row say.

    Lettered options stand as the benchmarks ask them (`tasks_it/seedbench_it`), with the bare letter as the
    answer: the paper's metrics compare it with the first character, or with all, of what a model says.

    Args:
        instructions: every sentence of ``before`` and ``after`` to what it is in the language of ``words``.
    """
    lines = [
        "".join(instructions[one.sentence] + one.space for one in pair.before)
        + pair.question
        + ("" if pair.options and not pair.listed else _after(pair, instructions))
    ]
    if pair.choice is None:
        return lines[0].strip(), pair.answer
    right = pair.options[pair.choice]
    if not pair.listed:
        lines += [f"{LETTERS[index]}. {option}" for index, option in enumerate(pair.options)]
        return "\n".join(lines) + _after(pair, instructions), LETTERS[pair.choice]
    written = {marker: names[0] for marker, names in words.markers.items()}
    lines.append(f"{written['options']}: {capital(', '.join(pair.options))}.")
    if pair.explanation:
        answer = f"{written['answer']}: {right}.\n{written['explanation']}: {pair.explanation}"
    else:
        answer = f"{capital(right)}."
    return "\n".join(lines), answer


def capital(text: str) -> str:
    """``text`` with a capital at its head, the rest as it is."""
    return text[:1].upper() + text[1:]


def _after(pair: Pair, instructions: Mapping[str, str]) -> str:
    return "".join(one.space + instructions[one.sentence] for one in pair.after)


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


def _lettered_options(text: str) -> tuple[str, ...]:
    options: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        found = _OPTION.fullmatch(line)
        if found and len(options) < len(LETTERS) and found["letter"] == LETTERS[len(options)]:
            options.append(found["text"].strip())
        elif options:
            options[-1] = f"{options[-1]} {line}".strip()
        else:
            raise PairError("options cannot be told apart")
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


@cache
def _instruction_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    # The longest first: one instruction begins like another.
    sentences = "|".join(map(re.escape, sorted(known_instructions(), key=len, reverse=True)))
    return (
        re.compile(rf"(?P<sentence>{sentences})(?P<space>\s+|\Z)"),
        re.compile(rf"(?P<space>\A|\s+)(?P<sentence>{sentences})\s*\Z"),
    )
