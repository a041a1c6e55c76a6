"""A pair as one line of text for the translator, and such a line taken apart again.

The pair is translated as one formatted text, so that the answer has its question for context::

    Question: What is he waiting for? Options: (1) a train; (2) a cab. Answer: (2).

Options are numbered here, whatever the source writes: machine translation keeps "(1)", but takes "A." for an
article. Lines are read with regular expressions over the words that a language has for the markers
(``ndino/languages/CODE.yaml``). `ndino.data.translation.rejection` decides whether a line that was read
passes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from ndino.languages.language import Language, language
from ndino.languages.numerals import in_latin_digits
from ndino.languages.text import usual_signs

# How options are numbered: the second where a text of the pair holds a "(1)" of its own.
_LABELS = ("({})", "[{}]")
_LOOSE_LABEL = re.compile(r"(?<![\w(\[])(?:[(\[]\s*)?(\d{1,2})\s*[)\]]")
_ANSWER_LABEL = re.compile(r"[\s(\[]*(\d{1,2})(?:\s*[)\]]|(?!\w))[\s.;,:]*(.*)", re.S)
_CLOSED = re.compile(r"[.?!…:;؟۔؛][\"'»”’)\]]*\Z")


@dataclass(frozen=True)
class Parts:
    """The parts of a line; ``answer`` is empty where one of the options is the answer."""

    question: str
    options: tuple[str, ...] = ()
    answer: str = ""
    explanation: str = ""


@dataclass(frozen=True)
class Expected:
    """What the translation of a pair must keep.

    Attributes:
        options: their number.
        label: how they are numbered, such as ``({})``.
        choice: the index of the correct option.
        exactly: the answer where it is no text: ``yes``, ``no``, a number, a letter.
        explanation: an explanation follows the answer.
        distinct: no two options are the same.
    """

    options: int = 0
    label: str = _LABELS[0]
    choice: int | None = None
    exactly: str | None = None
    explanation: bool = False
    distinct: bool = False


@dataclass(frozen=True)
class LineReading:
    """What was read in a line.

    Attributes:
        parts: the texts found; ``question`` is empty where the line does not begin with its marker,
            ``answer`` is the label (``(2).``) where an option is the answer.
        numbers: the labels of the options, in order.
        marker_after_answer: a marker of question or options follows the answer's.
    """

    parts: Parts
    numbers: tuple[int, ...]
    option_markers: int
    answer_markers: int
    explanation_markers: int
    marker_after_answer: bool


def expected_of(parts: Parts, choice: int | None, exactly: str | None) -> Expected:
    """What a translation of ``parts`` must keep; ``exactly`` is the whole answer's `exact_answer`."""
    text = " ".join((parts.question, *parts.options, parts.answer, parts.explanation))
    label = next((label for label in _LABELS if not _label_pattern(label).search(text)), _LABELS[0])
    distinct = len(set(map(bare, parts.options))) == len(parts.options)
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
    """The pair as one line in the language of ``words``; neither ``parts`` nor the line hold a newline."""
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
        # No full stop: "No." is also the abbreviation of number.
        answer = (words.yes if expected.exactly == "yes" else words.no)[0]
    else:
        answer = parts.answer
    line.append(f"{marker['answer']}: {answer}")
    if parts.explanation:
        line[-1] = _closed(line[-1])
        line.append(f"{marker['explanation']}: {parts.explanation}")
    return " ".join(line)


def read_line(line: str, expected: Expected, words: Language) -> LineReading:
    """Take a line in the language of ``words`` apart. Any text can be read; nothing is checked here."""
    patterns = _marker_patterns(words.code)
    question = patterns["question"].match(line)
    options = list(patterns["options"].finditer(line))
    answers = list(patterns["answer"].finditer(line))

    labels = _option_labels(list(_label_pattern(expected.label).finditer(line)), answers, expected)
    in_order = list(range(1, expected.options + 1))
    if [int(found[1]) for found in labels] != in_order:
        # Translators also write 1) for (1).
        loose = _option_labels(list(_LOOSE_LABEL.finditer(line)), answers, expected)
        labels = loose if [int(found[1]) for found in loose] == in_order else labels
    borders = sorted(found.start() for found in (*labels, *options, *answers))
    ends = [next((border for border in borders if border > found.start()), len(line)) for found in labels]
    texts = [line[found.end() : end] for found, end in zip(labels, ends, strict=True)]

    asked = ""
    if question:
        after = (found.start() for found in (*options, *answers) if found.start() >= question.end())
        asked = line[question.end() : min(after, default=len(line))].strip()

    tail = line[answers[-1].end() :] if answers else ""
    explanations = list(patterns["explanation"].finditer(tail)) if expected.explanation else []
    answer, explanation = tail, ""
    if explanations:
        answer, explanation = tail[: explanations[0].start()], tail[explanations[0].end() :]
    return LineReading(
        Parts(asked, tuple(map(open_end, texts)), answer.strip(), explanation.strip()),
        numbers=tuple(int(found[1]) for found in labels),
        option_markers=len(options),
        answer_markers=len(answers),
        explanation_markers=len(explanations),
        marker_after_answer=any(patterns[name].search(tail) for name in ("options", "question_inside")),
    )


def names_option(line: LineReading, expected: Expected) -> bool:
    """Whether the answer of ``line`` is the label of the right option, alone or with the option's text."""
    found = _ANSWER_LABEL.fullmatch(line.parts.answer)
    if expected.choice is None or not found or int(found[1]) != expected.choice + 1:
        return False
    said = set(re.findall(r"\w+", found[2].casefold()))
    its_option = " ".join(line.parts.options[expected.choice : expected.choice + 1])
    option = set(re.findall(r"\w+", its_option.casefold()))
    # The option may have gained or lost an article.
    return not said - option or (bool(option) and option <= said and len(said) <= len(option) + 1)


def with_marker(text: str, words: Language) -> bool:
    """Whether a text of a pair begins with a question's marker of a language, or holds one that it writes."""
    patterns = _marker_patterns(words.code)
    return bool(patterns["question"].match(text) or patterns["written"].search(text))


def open_end(text: str) -> str:
    """A text without the full stop, semicolon or comma at its end, which separate options."""
    return text.strip().rstrip(".;,，；、،؛۔").rstrip()


def bare(answer: str) -> str:
    """A text to compare: without spaces, punctuation and quotes (2,500 may become 2.500), case folded."""
    return re.sub(r"[\s.,;!\"'«»“”]", "", usual_signs(in_latin_digits(answer, "."))).casefold()


def as_written(text: str, source: str) -> str:
    """A translation with its source's beginning and end: a capital letter, a full stop or none."""
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
    # A question without a mark at its end would run into the marker that follows it.
    return text if _CLOSED.search(text) else f"{text}."


def _option_labels(
    labels: list[re.Match[str]], answers: list[re.Match[str]], expected: Expected
) -> list[re.Match[str]]:
    """The labels of the options, without the label that is the answer, or the number "(1)" that is it."""
    if expected.choice is None and expected.exactly is None:
        return labels
    if answers:
        after_marker = {found.end() for found in answers}
        return [found for found in labels if found.start() not in after_marker]
    if expected.choice is None:
        return labels
    # The answer's marker is lost, but its label may still be there, as the last one.
    number = str(expected.choice + 1)
    return labels[:-1] if len(labels) > expected.options and labels[-1][1] == number else labels


@cache
def _label_pattern(label: str) -> re.Pattern[str]:
    before, after = map(re.escape, label.split("{}"))
    return re.compile(rf"{before}\s*(\d{{1,2}})\s*{after}")


@cache
def _marker_patterns(code: str) -> dict[str, re.Pattern[str]]:
    def any_of(marker: str) -> str:
        # Longest first: an alternation takes the first name that matches.
        names = sorted(language(code).markers[marker], key=len, reverse=True)
        return rf"(?:{'|'.join(map(re.escape, names))})\s?[:：]\s*"

    written = [names[0] for names in language(code).markers.values()]
    return {
        "question": re.compile(rf"[\s\"'«“¿]*{any_of('question')}", re.I),
        **{
            marker: re.compile(rf"(?<!\w){any_of(marker)}", re.I)
            for marker in ("options", "answer", "explanation")
        },
        # Of the words that are looked for, only those that are written: the others may be said in a text.
        "written": re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, written))})\s?[:：]", re.I),
        "question_inside": re.compile(rf"(?<!\w){any_of('question')}", re.I),
    }
