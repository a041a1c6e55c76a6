"""Translate pairs: each is written as one line, translated, checked and taken apart again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ndino.data.translation import Translated, Translation
from ndino.data.translation.lines import TextPiece, join_lines, split_lines, words_of
from ndino.data.translation.pair_line import (
    Expected,
    Parts,
    as_written,
    exact_answer,
    expected_of,
    read_line,
    to_line,
)
from ndino.data.translation.pairs import Pair, asking_line, capital
from ndino.data.translation.placeholders import undo_entities
from ndino.data.translation.quality.scorer import weakest
from ndino.data.translation.rejection import TextChecks, pair_rejections, source_line_rejection
from ndino.languages.language import Language

_SPACED_STOP = re.compile(r"\s+\.(?=\s|\Z)")


@dataclass(frozen=True)
class RejectedPair:
    """A pair without a translation that passes.

    Attributes:
        reason: the first check that failed, see `ndino.data.translation.rejection`.
        line: the pair as sent to the translator.
        translated: what came back; None where nothing was sent or the text itself was rejected.
        failed: every check of the pair that failed.
    """

    reason: str
    line: str
    translated: str | None = None
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _PairJob:
    """A pair prepared for the translator.

    Attributes:
        line: the pair as one line; None where it holds nothing to translate.
        question: the pieces of the question; ``asking`` is the index, among those with words, of the one that
            is in the line.
        answer: the pieces of the answer or explanation; the first with words is in the line.
    """

    pair: Pair
    parts: Parts
    expected: Expected
    line: str | None
    question: list[TextPiece]
    asking: int
    answer: list[TextPiece]

    @property
    def other_question_lines(self) -> list[str]:
        return [line for number, line in enumerate(words_of(self.question)) if number != self.asking]

    @property
    def other_answer_lines(self) -> list[str]:
        return words_of(self.answer)[1:]

    @property
    def texts(self) -> list[str]:
        """All that goes to the translator: the line of the pair, then the other lines."""
        return [
            *([] if self.line is None else [self.line]),
            *self.other_question_lines,
            *self.other_answer_lines,
        ]


def translate_pairs(
    pairs: Sequence[Pair], translation: Translation, source: Language, target: Language
) -> list[Pair | RejectedPair]:
    """Translate each pair as one line, check it and take it apart; one result per pair, in order.

    Of a question with several lines, the one that asks is part of the line (`asking_line`); of an answer, the
    first. The other lines, such as an instruction on a line of its own, are translated separately, and the
    newlines put back. An answer that is a letter, a number, yes or no is not taken from the translation: it
    stays as in the source, yes and no in the target language's words.
    """
    jobs = [_prepare(pair, source, target) for pair in pairs]
    texts = [text for job in jobs if isinstance(job, _PairJob) for text in job.texts]
    translated = iter(_translate(texts, translation, source))
    return [
        _scored(job, [next(translated) for _ in job.texts], target, translation.checks)
        if isinstance(job, _PairJob)
        else job
        for job in jobs
    ]


def _scored(
    job: _PairJob, translated: list[Translated], target: Language, checks: TextChecks
) -> Pair | RejectedPair:
    result = _finish(job, translated, target, checks)
    return replace(result, quality=weakest(translated)) if isinstance(result, Pair) else result


def _translate(texts: list[str], translation: Translation, source: Language) -> list[Translated]:
    # "No." is also the abbreviation of number: "Say yes or no. Answer: ..." became "answer number". A space
    # before the full stop prevents that, and is removed from the translation.
    no_at_end = re.compile(rf"\b({re.escape(source.no[0])})\.(?=\s+\D|\s*\Z)", re.I)
    sent = [no_at_end.sub(r"\1 .", text) for text in texts]
    return [
        one if spaced == text or one.text is None else replace(one, text=_SPACED_STOP.sub(".", one.text))
        for text, spaced, one in zip(texts, sent, translation.translate(sent), strict=True)
    ]


def _prepare(pair: Pair, source: Language, target: Language) -> _PairJob | RejectedPair:
    pair = replace(
        pair,
        question=undo_entities(pair.question),
        answer=undo_entities(pair.answer),
        explanation=undo_entities(pair.explanation),
        options=tuple(map(undo_entities, pair.options)),
    )
    question = split_lines(pair.question)
    said = pair.explanation or pair.answer
    exactly = None if pair.choice is not None else exact_answer(pair.answer, source)
    answer = split_lines(said) if exactly is None else [TextPiece(said, False)]
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
    if reason := source_line_rejection(line, parts, expected, source):
        return RejectedPair(reason, line)
    wordless = not words_of(question) and not words_of(answer) and not parts.options
    return _PairJob(pair, parts, expected, None if wordless else line, question, asking, answer)


def _finish(
    job: _PairJob, translated: list[Translated], target: Language, checks: TextChecks
) -> Pair | RejectedPair:
    pair, line = job.pair, job.line
    if reason := next((one.reason for one in translated if one.reason), None):
        return RejectedPair(reason, line or pair.question, translated[0].text if line else None)
    remaining = iter([one.text or "" for one in translated])
    there = next(remaining) if line is not None else None
    other_question_lines = [next(remaining) for _ in job.other_question_lines]
    other_answer_lines = [next(remaining) for _ in job.other_answer_lines]
    if there is None:
        return replace(pair, answer=_exact(job, target))
    reading = read_line(there, job.expected, target)
    if failed := pair_rejections(reading, job.expected, target, checks.said):
        return RejectedPair(failed[0], line or "", there, failed)
    parts = reading.parts
    if reason := checks.part_rejection(job.parts, parts, job.expected):
        return RejectedPair(reason, line or "", there)
    question = as_written(parts.question, job.parts.question)
    said = parts.explanation or ("" if pair.choice is not None else parts.answer)
    answer = "" if not said else as_written(said, job.parts.explanation or job.parts.answer)
    if job.expected.exactly is not None:
        answer = _exact(job, target)
    elif answer:
        answer = join_lines(job.answer, [answer, *other_answer_lines] if words_of(job.answer) else [])
    if words_of(job.question):
        other_question_lines.insert(job.asking, question)
    return replace(
        pair,
        question=join_lines(job.question, other_question_lines),
        answer="" if pair.choice is not None else answer,
        options=tuple(map(as_written, parts.options, job.parts.options)),
        explanation=answer if pair.explanation else "",
    )


def _exact(job: _PairJob, target: Language) -> str:
    """The source's answer, or the target language's word for its yes or no, capital and full stop kept."""
    said = job.pair.answer
    words = {"yes": target.yes, "no": target.no}.get(job.expected.exactly or "")
    if words is None:
        return said
    word = capital(words[0]) if said[:1].isupper() else words[0]
    return f"{word}." if said.endswith(".") else word
