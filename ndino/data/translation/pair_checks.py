"""A pair as one line for the translator, and the paper's three checks on what comes back (section 3.2).

The pair is translated as one formatted text, so that the answer has its question for context::

    Question: What is he waiting for? Options: (1) a train; (2) a cab. Answer: (2).

Options are numbered here, whatever the source writes: a machine keeps "(1)", while it takes "A." for an
article. The checks are regular expressions over the words that the target language has for the markers
(`languages.yaml`): the question stands at the beginning, the number of options is what it was, the answer
stands at the end. A fourth is ours: options that differed still do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ndino.languages.language import Language, language

QUESTION = "question not at the beginning"
OPTIONS = "number of options differs"
ANSWER = "answer not at the end"
SAME = "options no longer differ"

# How options are numbered; the second where the text itself has a "(1)".
_LABELS = ("({})", "[{}]")
_CLOSED = re.compile(r"[.?!…:;][\"'»”’)\]]*\Z")


class CheckError(ValueError):
    """A line that fails; ``failed`` are the reasons, in the order of the paper's checks."""

    def __init__(self, failed: tuple[str, ...]) -> None:
        super().__init__("; ".join(failed))
        self.failed = failed


@dataclass(frozen=True)
class Parts:
    """What stands in a line; ``answer`` is empty where an option is the answer."""

    question: str
    options: tuple[str, ...] = ()
    answer: str = ""
    explanation: str = ""


@dataclass(frozen=True)
class Expected:
    """What of a pair a translation must not change.

    Attributes:
        options: their number.
        label: how they are numbered, such as ``({})``.
        choice: the index of the right one.
        exactly: the answer where it is no text: ``yes``, ``no``, a number, a letter.
        distinct: no two options are the same.
    """

    options: int = 0
    label: str = _LABELS[0]
    choice: int | None = None
    exactly: str | None = None
    explanation: bool = False
    distinct: bool = False


def expected_of(parts: Parts, choice: int | None, exactly: str | None) -> Expected:
    """What a translation of these parts must keep; ``exactly`` is the whole answer's `exact_answer`."""
    text = " ".join((parts.question, *parts.options, parts.answer, parts.explanation))
    label = next((label for label in _LABELS if not _label_pattern(label).search(text)), _LABELS[0])
    distinct = len({_bare(option) for option in parts.options}) == len(parts.options)
    return Expected(len(parts.options), label, choice, exactly, bool(parts.explanation), distinct)


def exact_answer(answer: str, words: Language) -> str | None:
    """``yes``, ``no``, or the figures or the letter that an answer consists of; None for a text."""
    said = answer.strip().removesuffix(".").strip()
    if said.casefold() in words.yes:
        return "yes"
    if said.casefold() in words.no:
        return "no"
    return said if len(said) == 1 or not any(map(str.isalpha, said)) else None


def to_line(parts: Parts, expected: Expected, words: Language) -> str:
    """The one line of a pair, without newlines; ``parts`` hold none either."""
    marker = {name: all_words[0] for name, all_words in words.markers.items()}
    line = [f"{marker['question']}: {_closed(parts.question)}"]
    if parts.options:
        numbered = (
            f"{expected.label.format(number)} {open_end(option)}"
            for number, option in enumerate(parts.options, start=1)
        )
        line.append(f"{marker['options']}: {'; '.join(numbered)}.")
    if expected.choice is not None:
        answer = f"{expected.label.format(expected.choice + 1)}."
    elif expected.exactly in ("yes", "no"):
        # Without a full stop: "No." is also the short form of number.
        answer = (words.yes if expected.exactly == "yes" else words.no)[0]
    else:
        answer = parts.answer
    line.append(f"{marker['answer']}: {answer}")
    if parts.explanation:
        line[-1] = _closed(line[-1])
        line.append(f"{marker['explanation']}: {parts.explanation}")
    return " ".join(line)


def read_line(line: str, expected: Expected, words: Language) -> Parts:
    """Check a line in the language of ``words`` and take it apart.

    Raises:
        CheckError: it fails one or more of the three checks, or the fourth.
    """
    patterns = _marker_patterns(words.code)
    label = _label_pattern(expected.label)
    failed = []

    question = patterns["question"].match(line)
    options = list(patterns["options"].finditer(line))
    answers = list(patterns["answer"].finditer(line))
    tail = line[answers[-1].end() :] if answers else ""

    labels = list(label.finditer(line))
    counted = _without_answers(labels, answers, expected)
    in_order = [int(found[1]) for found in counted] == list(range(1, expected.options + 1))
    announced = len(options) == bool(expected.options)
    borders = sorted(found.start() for found in (*counted, *options, *answers))
    ends = [next((border for border in borders if border > found.start()), len(line)) for found in counted]
    texts = [line[found.end() : end] for found, end in zip(counted, ends, strict=True)]
    if not (in_order and announced and all(open_end(text) for text in texts)):
        failed.append(OPTIONS)

    ends = [found.start() for found in (*options, *answers) if question and found.start() >= question.end()]
    asked = line[question.end() : min(ends, default=len(line))].strip() if question else ""
    if not any(character.isalnum() for character in asked):
        failed.insert(0, QUESTION)

    said = _answer(tail, expected, words, patterns) if len(answers) == 1 else None
    if said is None:
        failed.append(ANSWER)
    if failed or said is None:
        raise CheckError(tuple(failed))
    answer, explanation = said
    if expected.distinct and len({_bare(text) for text in texts}) < len(texts):
        raise CheckError((SAME,))
    return Parts(asked, tuple(open_end(text) for text in texts), answer, explanation)


def open_end(text: str) -> str:
    """A text without the point or semicolon that ends it."""
    return text.strip().rstrip(".;").rstrip()


def as_written(text: str, source: str) -> str:
    """A translation with the head and end of what it translates: a capital, a full stop or none."""
    text = " ".join(text.split())
    if source[:1].isupper():
        text = text[:1].upper() + text[1:]
    end = source[-1:]
    if end in tuple(".?!") and not text.endswith((".", "?", "!", "…")):
        text += end
    if end not in tuple(".?!") and text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip()
    return text


def _closed(text: str) -> str:
    # Without an end of its own the question runs into what follows.
    return text if _CLOSED.search(text) else f"{text}."


def _without_answers(
    labels: list[re.Match[str]], answers: list[re.Match[str]], expected: Expected
) -> list[re.Match[str]]:
    """The labels of options, without those that answer."""
    if expected.choice is None:
        return labels
    if answers:
        behind = {found.end() for found in answers}
        return [found for found in labels if found.start() not in behind]
    number = str(expected.choice + 1)
    return labels[:-1] if len(labels) > expected.options and labels[-1][1] == number else labels


def _answer(
    tail: str, expected: Expected, words: Language, patterns: Mapping[str, re.Pattern[str]]
) -> tuple[str, str] | None:
    """Answer and explanation if they are what is expected and nothing stands behind them."""
    if patterns["options"].search(tail) or patterns["question_again"].search(tail):
        return None
    explanations = list(patterns["explanation"].finditer(tail)) if expected.explanation else []
    if expected.explanation and len(explanations) != 1:
        return None
    answer, explanation = tail.strip(), ""
    if explanations:
        answer = tail[: explanations[0].start()].strip()
        explanation = tail[explanations[0].end() :].strip()
        if not explanation:
            return None
    if expected.choice is not None:
        wanted = expected.label.format(expected.choice + 1)
        return ("", explanation) if answer.strip(" .;,") == wanted else None
    if expected.exactly is None:
        return (answer, explanation) if answer.strip(" .;,!?") else None
    bare = _bare(answer)
    if expected.exactly in ("yes", "no"):
        same = bare in map(_bare, words.yes if expected.exactly == "yes" else words.no)
    else:
        same = bare == _bare(expected.exactly)
    return (answer, explanation) if same else None


def _bare(answer: str) -> str:
    # 2,500 may come back as 2.500, and yes in other quotes.
    return re.sub(r"[\s.,;!\"'«»“”]", "", answer).casefold()


@cache
def _label_pattern(label: str) -> re.Pattern[str]:
    before, after = map(re.escape, label.split("{}"))
    return re.compile(rf"{before}\s*(\d{{1,2}})\s*{after}")


@cache
def _marker_patterns(code: str) -> dict[str, re.Pattern[str]]:
    def any_of(marker: str) -> str:
        names = sorted(language(code).markers[marker], key=len, reverse=True)
        return rf"(?:{'|'.join(map(re.escape, names))})\s?[:：]\s*"

    return {
        "question": re.compile(rf"[\s\"'«“¿]*{any_of('question')}", re.I),
        **{
            marker: re.compile(rf"(?<!\w){any_of(marker)}", re.I)
            for marker in ("options", "answer", "explanation")
        },
        "question_again": re.compile(rf"(?<!\w){any_of('question')}", re.I),
    }
