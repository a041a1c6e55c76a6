"""Pairs in one language to pairs in another: formatted, translated, checked, taken apart again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ndino.data.checks import (
    CheckError,
    Expected,
    Parts,
    as_written,
    exact_answer,
    expected_of,
    open_end,
    read_line,
    to_line,
)
from ndino.data.languages import Language
from ndino.data.lines import Piece, join_lines, split_lines, words_of
from ndino.data.pairs import Pair, capital
from ndino.data.translation import Translated, Translation

MARKERS_INSIDE = "text holds a marker of its own"


@dataclass(frozen=True)
class Refused:
    """A pair that was not translated: the reason, and the line in both languages as far as it came."""

    reason: str
    line: str
    translated: str | None = None
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class TranslatedPair:
    """The pair in the other language, and its instructions there by the sentences of the source."""

    pair: Pair
    instructions: dict[str, str]


@dataclass(frozen=True)
class _Job:
    """A pair on its way: its line (None if nothing is to be translated) and what goes beside it."""

    pair: Pair
    parts: Parts
    expected: Expected
    line: str | None
    question: list[Piece]
    answer: list[Piece]
    sentences: dict[str, list[Piece]]

    def texts(self) -> list[str]:
        beside = (*words_of(self.question)[:-1], *words_of(self.answer)[1:])
        sentences = (text for pieces in self.sentences.values() for text in words_of(pieces))
        return [*([] if self.line is None else [self.line]), *beside, *sentences]


def translate_pairs(
    pairs: Sequence[Pair], translation: Translation, source: Language, target: Language
) -> list[TranslatedPair | Refused]:
    """Translate each pair as one line, check it, and take it apart; one result a pair, in order.

    A question of several lines is in the line with its last one, an answer with its first one; the others
    are translated by themselves and the newlines put back. Instructions are those of ``languages.yaml``; a
    sentence that the target language does not list is translated by itself. An answer that is a letter, a
    number, or yes or no, is what the source says, in the target language.
    """
    jobs = [_job(pair, source, target) for pair in pairs]
    texts = [text for job in jobs if isinstance(job, _Job) for text in job.texts()]
    translated = iter(translation.translate(texts))
    return [
        _finish(job, [next(translated) for _ in job.texts()], target) if isinstance(job, _Job) else job
        for job in jobs
    ]


def _job(pair: Pair, source: Language, target: Language) -> _Job | Refused:
    instructions = [one.sentence for one in (*pair.before, *pair.after)]
    unlisted = {
        sentence: split_lines(sentence) for sentence in instructions if sentence not in target.instructions
    }
    question = split_lines(pair.question)
    said = pair.explanation or pair.answer
    exactly = None if pair.choice is not None else exact_answer(pair.answer, source)
    answer = split_lines(said) if exactly is None else [Piece(said, False)]
    asked = words_of(question)[-1:] or [" ".join((pair.question or " ".join(instructions)).split())]
    answered = words_of(answer)[:1] or [" ".join(said.split())]
    parts = Parts(
        asked[0],
        tuple(" ".join(option.split()) for option in pair.options),
        "" if pair.choice is not None else answered[0],
        answered[0] if pair.explanation else "",
    )
    expected = expected_of(parts, pair.choice, exactly)
    line = to_line(parts, expected, source)
    if not _reads_back(line, parts, expected, source):
        return Refused(MARKERS_INSIDE, line)
    settled = not words_of(question) and not words_of(answer) and not parts.options
    return _Job(pair, parts, expected, None if settled else line, question, answer, unlisted)


def _reads_back(line: str, parts: Parts, expected: Expected, source: Language) -> bool:
    try:
        found = read_line(line, expected, source)
    except CheckError:
        return False
    ends = (parts.question, f"{parts.question}.")
    return found.question in ends and found.options == tuple(map(open_end, parts.options))


def _finish(job: _Job, translated: list[Translated], target: Language) -> TranslatedPair | Refused:
    pair, line = job.pair, job.line
    if failed := next((one.reason for one in translated if one.reason), None):
        return Refused(failed, line or pair.question, translated[0].text if line else None)
    remaining = iter([one.text or "" for one in translated])
    there = next(remaining) if line is not None else None
    beside_question = _take(remaining, len(words_of(job.question)[:-1]))
    beside_answer = _take(remaining, len(words_of(job.answer)[1:]))
    sentences = {
        sentence: join_lines(pieces, _take(remaining, len(words_of(pieces))))
        for sentence, pieces in job.sentences.items()
    }
    instructions = {
        one.sentence: target.instructions.get(one.sentence) or sentences[one.sentence]
        for one in (*pair.before, *pair.after)
    }
    if there is None:
        return TranslatedPair(replace(pair, answer=_exact(job, target)), instructions)
    try:
        parts = read_line(there, job.expected, target)
    except CheckError as error:
        return Refused(error.failed[0], line or "", there, error.failed)
    question = as_written(parts.question, job.parts.question)
    said = parts.explanation or parts.answer
    answer = "" if not said else as_written(said, job.parts.explanation or job.parts.answer)
    if job.expected.exactly is not None:
        answer = _exact(job, target)
    elif answer:
        answer = join_lines(job.answer, [answer, *beside_answer] if words_of(job.answer) else [])
    return TranslatedPair(
        replace(
            pair,
            question=join_lines(job.question, [*beside_question, question] if words_of(job.question) else []),
            answer="" if pair.choice is not None else answer,
            options=tuple(map(_option, parts.options, job.parts.options)),
            explanation=answer if pair.explanation else "",
        ),
        instructions,
    )


def _take(remaining: Iterator[str], count: int) -> list[str]:
    return [next(remaining) for _ in range(count)]


def _exact(job: _Job, target: Language) -> str:
    """The answer as the source has it, but for yes and no."""
    said = job.pair.answer
    words = {"yes": target.yes, "no": target.no}.get(job.expected.exactly or "")
    if words is None:
        return said
    word = capital(words[0]) if said[:1].isupper() else words[0]
    return f"{word}." if said.endswith(".") else word


def _option(translated: str, source: str) -> str:
    return as_written(translated, source)
