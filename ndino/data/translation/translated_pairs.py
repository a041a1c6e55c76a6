"""Pairs in one language to pairs in another: formatted, translated, checked, taken apart again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ndino.data.translation import Translated, Translation
from ndino.data.translation.lines import Piece, join_lines, split_lines, words_of
from ndino.data.translation.pair_checks import (
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
from ndino.data.translation.pairs import Pair, asking_line, capital
from ndino.languages.language import Language

MARKERS_INSIDE = "text holds a marker of its own"
_STOP = re.compile(r"\s+\.(?=\s|\Z)")


@dataclass(frozen=True)
class Refused:
    """A pair that was not translated: the reason, and the line in both languages as far as it came."""

    reason: str
    line: str
    translated: str | None = None
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Job:
    """A pair on its way: its line (None if nothing is to be translated) and what goes beside it.

    ``asking`` is the one of the question's lines with words that is in the line.
    """

    pair: Pair
    parts: Parts
    expected: Expected
    line: str | None
    question: list[Piece]
    asking: int
    answer: list[Piece]

    @property
    def beside_question(self) -> list[str]:
        return [line for number, line in enumerate(words_of(self.question)) if number != self.asking]

    @property
    def beside_answer(self) -> list[str]:
        return words_of(self.answer)[1:]

    @property
    def texts(self) -> list[str]:
        return [*([] if self.line is None else [self.line]), *self.beside_question, *self.beside_answer]


def translate_pairs(
    pairs: Sequence[Pair], translation: Translation, source: Language, target: Language
) -> list[Pair | Refused]:
    """Translate each pair as one line, check it, and take it apart; one result a pair, in order.

    Of a question of several lines the one that asks is in the line (`asking_line`), of an answer the first;
    the others, such as an instruction on a line of its own, are translated by themselves and the newlines put
    back. An answer that is a letter, a number, or yes or no, is what the source says, in the target language.
    """
    jobs = [_job(pair, source, target) for pair in pairs]
    texts = [text for job in jobs if isinstance(job, _Job) for text in job.texts]
    translated = iter(_translate(texts, translation, source))
    return [
        _finish(job, [next(translated) for _ in job.texts], target) if isinstance(job, _Job) else job
        for job in jobs
    ]


def _translate(texts: list[str], translation: Translation, source: Language) -> list[Translated]:
    # "No." is also the short form of number: "Say yes or no. Answer: ..." became "answer number".
    stop = re.compile(rf"\b({re.escape(source.no[0])})\.(?=\s+\D|\s*\Z)", re.I)
    apart = [stop.sub(r"\1 .", text) for text in texts]
    return [
        one if held == text or one.text is None else replace(one, text=_STOP.sub(".", one.text))
        for text, held, one in zip(texts, apart, translation.translate(apart), strict=True)
    ]


def _job(pair: Pair, source: Language, target: Language) -> _Job | Refused:
    question = split_lines(pair.question)
    said = pair.explanation or pair.answer
    exactly = None if pair.choice is not None else exact_answer(pair.answer, source)
    answer = split_lines(said) if exactly is None else [Piece(said, False)]
    lines = words_of(question) or [" ".join(pair.question.split())]
    asking = asking_line(lines)
    answered = words_of(answer)[:1] or [" ".join(said.split())]
    parts = Parts(
        lines[asking],
        tuple(" ".join(option.split()) for option in pair.options),
        "" if pair.choice is not None else answered[0],
        answered[0] if pair.explanation else "",
    )
    expected = expected_of(parts, pair.choice, exactly)
    line = to_line(parts, expected, source)
    if not _reads_back(line, parts, expected, source):
        return Refused(MARKERS_INSIDE, line)
    settled = not words_of(question) and not words_of(answer) and not parts.options
    return _Job(pair, parts, expected, None if settled else line, question, asking, answer)


def _reads_back(line: str, parts: Parts, expected: Expected, source: Language) -> bool:
    try:
        found = read_line(line, expected, source)
    except CheckError:
        return False
    ends = (parts.question, f"{parts.question}.")
    return found.question in ends and found.options == tuple(map(open_end, parts.options))


def _finish(job: _Job, translated: list[Translated], target: Language) -> Pair | Refused:
    pair, line = job.pair, job.line
    if failed := next((one.reason for one in translated if one.reason), None):
        return Refused(failed, line or pair.question, translated[0].text if line else None)
    remaining = iter([one.text or "" for one in translated])
    there = next(remaining) if line is not None else None
    beside_question = [next(remaining) for _ in job.beside_question]
    beside_answer = [next(remaining) for _ in job.beside_answer]
    if there is None:
        return replace(pair, answer=_exact(job, target))
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
    if words_of(job.question):
        beside_question.insert(job.asking, question)
    return replace(
        pair,
        question=join_lines(job.question, beside_question),
        answer="" if pair.choice is not None else answer,
        options=tuple(map(as_written, parts.options, job.parts.options)),
        explanation=answer if pair.explanation else "",
    )


def _exact(job: _Job, target: Language) -> str:
    """The answer as the source has it, but for yes and no."""
    said = job.pair.answer
    words = {"yes": target.yes, "no": target.no}.get(job.expected.exactly or "")
    if words is None:
        return said
    word = capital(words[0]) if said[:1].isupper() else words[0]
    return f"{word}." if said.endswith(".") else word
