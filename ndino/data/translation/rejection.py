"""Where a translation is rejected: every reason, in the order in which the checks run.

====  ==========================================  ==========================================================
step  reasons                                     checked by
====  ==========================================  ==========================================================
1     the source pair cannot be read              `ndino.data.translation.pairs.read_pair` (PairError): no
                                                  question or answer, options that cannot be told apart, ...
2     text holds a marker of its own              `source_line_rejection`: the source's own line would fail
3     translation broke off, empty translation,   `TEXT_CHECKS`, by `TextChecks.rejection`: each text that
      looping translation, translation repeats    comes back from the translator. A rejected text is
      itself, signs of lost characters, spaces    translated once more, sentence by sentence
      lost, talk about the translation, quotes    (`ndino.data.translation.translation`)
      added, more than its source, translation
      too long, translation too short, end lost,
      question mark lost, placeholder lost,
      number lost, number added, another number,
      numbers changed places, another month,
      another weekday, half of the day lost,
      currency lost, percent sign lost, minus
      lost, another scale word, another script,
      not translated, another language
4     question not at the beginning, number of    `PAIR_CHECKS`, by `pair_rejections`: the line of a pair
      options differs, answer not at the end      (the paper's three checks, section 3.2)
5     options no longer differ                    `pair_rejections`, for a line that passes step 4
6     marker in a text of the pair, more in an    `part_rejection`: question, options, answer and
      option than in the source's, options in     explanation of a pair, each with its source
      another order, and those of step 3
====  ==========================================  ==========================================================

Single texts (conversations, LLaVA-Bench) pass step 3 only. The source command writes what is rejected to
``rejects.jsonl``. To add a check, append a pair of reason and test to `TEXT_CHECKS` or `PAIR_CHECKS`; any
change here, in ``checks/`` or in how texts are split also needs a new `VERSION`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from ndino.common.files import key_of
from ndino.data.translation.checks.capitals import capitals_not_translated, options_not_translated
from ndino.data.translation.checks.chatter import Phrases, adds_quotes, chats
from ndino.data.translation.checks.foreign import (
    in_another_language,
    in_another_script,
    keeps_words,
    not_translated,
    sentence_in_another_language,
)
from ndino.data.translation.checks.months import another_month, another_weekday
from ndino.data.translation.checks.number_signs import lost_minus, lost_percent, other_scale
from ndino.data.translation.checks.repetition import repeats
from ndino.data.translation.checks.said_numbers import SaidNumbers, lost_currency
from ndino.data.translation.checks.signs import has_unknown_signs, lost_spaces
from ndino.data.translation.checks.times import lost_half
from ndino.data.translation.checks.wholeness import breaks_off, lost_question, says_more
from ndino.data.translation.kept_numbers import NOTHING_SAID, in_latin_digits, lost_number, says_number
from ndino.data.translation.other_numbers import added_number, another_number, swapped_numbers
from ndino.data.translation.pair_line import (
    Expected,
    LineReading,
    Parts,
    bare,
    exact_answer,
    names_option,
    open_end,
    read_line,
    with_marker,
)
from ndino.data.translation.placeholders import labels_pattern, placeholders_differ, without_placeholders
from ndino.data.translation.text_measures import WORD, loops, width
from ndino.languages.language import Language

# Of all that decides which translations pass, and which texts are translated at all. It is part of a folder's
# settings, so that nothing that older guards let pass is used; the memory has translations without verdicts.
VERSION = 6

# A translation may be this many times as long or as short as its source, in letters. Short texts vary more,
# hence the fixed margins; a single word may need a description. Ours: docs/data/translation.md says how many
# correct translations they reject.
LONGEST, MARGIN, LONGEST_WORD, WORD_MARGIN = 1.9, 16, 2.5, 20
SHORTEST, SHORT_MARGIN, SHORTEST_OF_ALL, LEAST = 0.4, 20, 0.3, 2

BROKEN_OFF = "translation broke off"
EMPTY = "empty translation"
LOOP = "looping translation"
REPEATS = "translation repeats itself"
UNKNOWN_SIGNS = "signs of lost characters"
LONG = "translation too long"
SHORT = "translation too short"
SPACES_LOST = "spaces lost"
CHATTER = "talk about the translation"
QUOTES = "quotes added"
MORE = "more than its source"
END_LOST = "end lost"
QUESTION_LOST = "question mark lost"
PLACEHOLDER_LOST = "placeholder lost"
NUMBER_LOST = "number lost"
NUMBER_ADDED = "number added"
OTHER_NUMBER = "another number"
SWAPPED = "numbers changed places"
OTHER_MONTH = "another month"
OTHER_DAY = "another weekday"
HALF_LOST = "half of the day lost"
CURRENCY_LOST = "currency lost"
PERCENT_LOST = "percent sign lost"
MINUS_LOST = "minus lost"
OTHER_SCALE = "another scale word"
SCRIPT = "another script"
COPY = "not translated"
LANGUAGE = "another language"

MARKERS_INSIDE = "text holds a marker of its own"

QUESTION = "question not at the beginning"
OPTIONS = "number of options differs"
ANSWER = "answer not at the end"
SAME = "options no longer differ"
MARKER = "marker in a text of the pair"
MORE_OPTIONS = "more in an option than in the source's"
ORDER = "options in another order"


@dataclass(frozen=True)
class TextChecks:
    """`TEXT_CHECKS` for translations between two languages; without them, their words are not used."""

    source: Language | None = None
    target: Language | None = None

    @cached_property
    def said(self) -> SaidNumbers:
        """How the target language says numbers."""
        if self.source is None or self.target is None:
            return NOTHING_SAID
        return SaidNumbers.between(self.source, self.target)

    @property
    def identity(self) -> str:
        """What a verdict depends on; part of a folder's settings."""
        said = self.said
        words = [list(asdict(said).values())]
        words += [sorted(self.unfinished), sorted(self.small_words), self.question_marks, *self.chatter]
        words += [self.percent, self.minus, self.labels.pattern if self.labels else ""]
        return f"guards {VERSION} {key_of(VERSION, *words)}"

    @cached_property
    def unfinished(self) -> frozenset[str]:
        """Words of the target language that end no text."""
        return frozenset(self._field("unfinished", ()))

    @cached_property
    def chatter(self) -> tuple[tuple[Phrases, ...], Phrases]:
        """Phrases of talk about a translation, of both languages; words of a source that allow them."""
        words = [language.words for language in (self.target, self.source) if language is not None]
        allowing = {} if self.source is None else self.source.words.get("chatter_allowed", {})
        return tuple(each.get("chatter", {}) for each in words), allowing

    @cached_property
    def small_words(self) -> frozenset[str]:
        """Words of the source language that names have inside in small letters."""
        return frozenset(() if self.source is None else self.source.words.get("small_words", ()))

    @cached_property
    def percent(self) -> tuple[str, ...]:
        """Words of the target language for the percent sign."""
        return tuple(self._field("reading", {}).get("symbols", {}).get("%", ()))

    @cached_property
    def minus(self) -> tuple[str, ...]:
        """Words of the target language that make a number negative."""
        return (*self._field("reading", {}).get("minus", ()), *self._field("below_zero", ()))

    @cached_property
    def labels(self) -> re.Pattern[str] | None:
        """The labels of geometry in a source."""
        words = () if self.source is None else self.source.words.get("labelled", ())
        return labels_pattern(words, self.said.source.joining)

    @property
    def question_marks(self) -> str:
        """The question marks of the target language, if it has its own."""
        return self._field("question_marks", "")

    def _field(self, name: str, default: Any) -> Any:
        return default if self.target is None else self.target.words.get(name, default)

    def rejection(self, source: str, target: str | None) -> str | None:
        """Why ``target`` cannot be a translation of ``source`` (a reason of `TEXT_CHECKS`), or None.

        ``target`` is None where the translator did not reach an end.
        """
        if target is None:
            return BROKEN_OFF
        target = in_latin_digits(target, self.said.target.code)
        return next((reason for reason, fails in TEXT_CHECKS if fails(source, target, self)), None)

    def part_rejection(self, source: Parts, target: Parts, expected: Expected) -> str | None:
        """Why a text of a pair cannot be a translation of its source, or None.

        Args:
            source: the parts of the source's pair.
            target: those read in the translated line.
            expected: what the source's line held; an answer that is no text is not compared.
        """
        texts = [(source.question, target.question), (source.explanation, target.explanation)]
        # Options are read without their full stops.
        options = list(zip(map(open_end, source.options), target.options, strict=True))
        texts += options
        if expected.choice is None and expected.exactly is None:
            texts.append((source.answer, target.answer))
        texts = [(ours, theirs) for ours, theirs in texts if WORD.search(ours)]
        for words in filter(None, (self.source, self.target)):
            if any(with_marker(theirs, words) and not with_marker(ours, words) for ours, theirs in texts):
                return MARKER
        for ours, theirs in options:
            more = any(theirs.count(mark) > ours.count(mark) for mark in (";", ", "))
            if more or (_SEPARATOR.search(theirs) and not _SEPARATOR.search(ours)):
                return MORE_OPTIONS
        if self._reordered(options):
            return ORDER
        if options_not_translated(options, self.said.source.code, self.said.target.code):
            return COPY
        # Options are too short for their language to be seen, but together they are not.
        texts.append(("; ".join(ours for ours, _ in options), "; ".join(theirs for _, theirs in options)))
        return next(filter(None, (self.rejection(*pair) for pair in texts if WORD.search(pair[0]))), None)

    def _reordered(self, options: Sequence[tuple[str, str]]) -> bool:
        """Whether yes or no is another option than in the source: only these words are known of both."""
        if self.source is None or self.target is None:
            return False
        ours = [exact_answer(option, self.source) for option, _ in options]
        theirs = [exact_answer(option, self.target) for _, option in options]
        moved = {there for here, there in zip(ours, theirs, strict=True) if here != there}
        return any(word in ours and word in moved for word in ("yes", "no"))


TextCheck = Callable[[str, str, TextChecks], bool]
PairCheck = Callable[[LineReading, Expected, Language, SaidNumbers], bool]


def _too_long(source: str, target: str, checks: TextChecks) -> bool:
    one_word = len(WORD.findall(source)) < 2
    most, margin = (LONGEST_WORD, WORD_MARGIN) if one_word else (LONGEST, MARGIN)
    return width(target) > most * width(source) + margin


def _too_short(source: str, target: str, checks: TextChecks) -> bool:
    least = max(SHORTEST * width(source) - SHORT_MARGIN, SHORTEST_OF_ALL * width(source) - LEAST)
    return width(target) < least


# Without placeholders: the digits of an address are checked with the address.
def _lost_a_number(source: str, target: str, checks: TextChecks) -> bool:
    return lost_number(without_placeholders(source), without_placeholders(target), checks.said) is not None


def _adds_a_number(source: str, target: str, checks: TextChecks) -> bool:
    return added_number(without_placeholders(source), without_placeholders(target), checks.said) is not None


def _has_another_number(source: str, target: str, checks: TextChecks) -> bool:
    return another_number(without_placeholders(source), without_placeholders(target), checks.said) is not None


def _swaps_numbers(source: str, target: str, checks: TextChecks) -> bool:
    return swapped_numbers(without_placeholders(source), without_placeholders(target), checks.said)


def _lost_a_currency(source: str, target: str, checks: TextChecks) -> bool:
    return lost_currency(without_placeholders(source), target, checks.said.target.code) is not None


def _not_translated(source: str, target: str, checks: TextChecks) -> bool:
    languages = checks.said.source.code, checks.said.target.code
    return (
        not_translated(source, target, *languages)
        or keeps_words(source, target, *languages)
        or capitals_not_translated(source, target, checks.small_words, *languages)
    )


def _in_another_language(source: str, target: str, checks: TextChecks) -> bool:
    language = checks.said.target.code
    return in_another_language(source, target, language) or sentence_in_another_language(
        source, target, language
    )


# Reason and test (source, target, the checks with their languages) of each check, cheap ones first. The first
# that fails gives the reason. An empty or looping text is also too short or too long, and a copy holds every
# number, so the more telling reason comes first.
TEXT_CHECKS: tuple[tuple[str, TextCheck], ...] = (
    (EMPTY, lambda source, target, checks: not WORD.search(target)),
    (LOOP, lambda source, target, checks: loops(target) and not loops(source)),
    (REPEATS, lambda source, target, checks: repeats(source, target)),
    (UNKNOWN_SIGNS, lambda source, target, checks: has_unknown_signs(source, target)),
    (SPACES_LOST, lambda source, target, checks: lost_spaces(source, target, checks.said.target.code)),
    (CHATTER, lambda source, target, checks: chats(source, target, *checks.chatter)),
    (QUOTES, lambda source, target, checks: adds_quotes(source, target)),
    (MORE, lambda source, target, checks: says_more(source, target)),
    (LONG, _too_long),
    (SHORT, _too_short),
    (END_LOST, lambda source, target, checks: breaks_off(source, target, checks.unfinished)),
    (QUESTION_LOST, lambda source, target, checks: lost_question(source, target, checks.question_marks)),
    (PLACEHOLDER_LOST, lambda source, target, checks: placeholders_differ(source, target, checks.labels)),
    (NUMBER_LOST, _lost_a_number),
    (NUMBER_ADDED, _adds_a_number),
    (OTHER_NUMBER, _has_another_number),
    (SWAPPED, _swaps_numbers),
    (OTHER_MONTH, lambda source, target, checks: another_month(source, target, checks.said)),
    (OTHER_DAY, lambda source, target, checks: another_weekday(source, target, checks.said)),
    (HALF_LOST, lambda source, target, checks: lost_half(source, target, checks.said) is not None),
    (CURRENCY_LOST, _lost_a_currency),
    (PERCENT_LOST, lambda source, target, checks: lost_percent(source, target, checks.percent)),
    (MINUS_LOST, lambda source, target, checks: lost_minus(source, target, checks.minus)),
    (OTHER_SCALE, lambda source, target, checks: other_scale(source, target, checks.said)),
    (SCRIPT, lambda source, target, checks: in_another_script(source, target, checks.said.target.code)),
    (COPY, _not_translated),
    (LANGUAGE, _in_another_language),
)


_BRACKETS = re.compile(r"[()\[\]]")
# What a translator may put between options in place of the semicolon, at the end of one that was read.
_SEPARATOR = re.compile(r"\s[/|•·–—-]\Z")


def _options_differ(line: LineReading, expected: Expected, words: Language, said: SaidNumbers) -> bool:
    in_order = line.numbers == tuple(range(1, expected.options + 1))
    announced_once = line.option_markers == bool(expected.options)
    return not (in_order and announced_once and all(line.parts.options))


def _answer_differs(line: LineReading, expected: Expected, words: Language, said: SaidNumbers) -> bool:
    if line.answer_markers != 1 or line.marker_after_answer:
        return True
    if expected.explanation and not (line.explanation_markers == 1 and line.parts.explanation):
        return True
    answer = line.parts.answer
    if expected.choice is not None:
        return not names_option(line, expected)
    if expected.exactly is None:
        return not answer.strip(" .;,!?")
    # The answer is taken from the source, so only its meaning counts here: "Certo, è così" says yes.
    if accepted := {"yes": words.yes, "no": words.no}.get(expected.exactly):
        said_first = re.split(r"[,.;:!]", answer.strip("\"'«»“” "), maxsplit=1)[0]
        return bare(said_first) not in map(bare, accepted)
    answer = _BRACKETS.sub("", answer)
    return bare(answer) != bare(_BRACKETS.sub("", expected.exactly)) and not says_number(
        answer, expected.exactly, said
    )


# The paper's three checks: reason and test of each. A line is rejected for the first that fails; the reject's
# details list all that fail.
PAIR_CHECKS: tuple[tuple[str, PairCheck], ...] = (
    (QUESTION, lambda line, expected, words, said: not any(map(str.isalnum, line.parts.question))),
    (OPTIONS, _options_differ),
    (ANSWER, _answer_differs),
)


def pair_rejections(
    line: LineReading, expected: Expected, words: Language, said: SaidNumbers = NOTHING_SAID
) -> tuple[str, ...]:
    """The reasons for which the line of a pair, read by `read_line`, is rejected; empty where it passes.

    Args:
        expected: what the source's line held.
        words: the language of ``line``.
        said: how that language says numbers.
    """
    failed = tuple(reason for reason, fails in PAIR_CHECKS if fails(line, expected, words, said))
    # Ours. Checked last: of a line that lost an option nothing can be said about the others.
    if not failed and expected.distinct and len(set(map(bare, line.parts.options))) < expected.options:
        return (SAME,)
    return failed


def source_line_rejection(text: str, parts: Parts, expected: Expected, words: Language) -> str | None:
    """Why the line of a source pair must not be sent to the translator, or None.

    A text with a marker of its own ("What is the Answer: to it?") does not read back as the parts it was made
    of, so its translation could not be checked either.

    Args:
        text: the line that `to_line` made of ``parts``.
        expected: as for the translation.
        words: the source language.
    """
    line = read_line(text, expected, words)
    same_question = line.parts.question in (parts.question, f"{parts.question}.")
    same_options = line.parts.options == tuple(map(open_end, parts.options))
    if same_question and same_options and not pair_rejections(line, expected, words):
        return None
    return MARKERS_INSIDE
