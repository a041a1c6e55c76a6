"""Where a translation is rejected: every reason, in the order in which the checks run.

====  ==========================================  ==========================================================
step  reasons                                     checked by
====  ==========================================  ==========================================================
1     the source pair cannot be read              `ndino.data.translation.pairs.read_pair` (PairError): no
                                                  question or answer, options that cannot be told apart, ...
2     text holds a marker of its own              `source_line_rejection`: the source's own line would fail
3     translation broke off, empty translation,   `TEXT_CHECKS`, by `TextChecks.rejection`: each text that
      looping translation, translation too long,  comes back from the translator. A rejected text is
      translation too short, placeholder lost,    translated once more, sentence by sentence
      number lost, not translated                 (`ndino.data.translation.translation`)
4     question not at the beginning, number of    `PAIR_CHECKS`, by `pair_rejections`: the line of a pair
      options differs, answer not at the end      (the paper's three checks, section 3.2)
5     options no longer differ                    `pair_rejections`, for a line that passes step 4
====  ==========================================  ==========================================================

Single texts (conversations, LLaVA-Bench) pass step 3 only. The source command writes what is rejected to
``rejects.jsonl``. To add a check, append a pair of reason and test to `TEXT_CHECKS` or `PAIR_CHECKS`; a new
or changed text check also needs a new `VERSION`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ndino.common.files import key_of
from ndino.data.translation.kept_numbers import lost_number
from ndino.data.translation.pair_line import Expected, LineReading, Parts, bare, open_end, read_line
from ndino.data.translation.placeholders import PLACEHOLDER
from ndino.data.translation.text_measures import WORD, copies, loops, width
from ndino.languages.language import Language

# Part of the translation memory's key, so that texts that older checks let pass are checked again.
VERSION = 1

# A translation may be this many times as long or as short as its source, in letters. Short texts vary more,
# hence the fixed margin. Ours: docs/data/translation.md says how many correct translations they reject.
LONGEST, SHORTEST, MARGIN = 2.5, 0.4, 20

BROKEN_OFF = "translation broke off"
EMPTY = "empty translation"
LOOP = "looping translation"
LONG = "translation too long"
SHORT = "translation too short"
PLACEHOLDER_LOST = "placeholder lost"
NUMBER_LOST = "number lost"
COPY = "not translated"

MARKERS_INSIDE = "text holds a marker of its own"

QUESTION = "question not at the beginning"
OPTIONS = "number of options differs"
ANSWER = "answer not at the end"
SAME = "options no longer differ"

TextCheck = Callable[[str, str, Mapping[str, int]], bool]
PairCheck = Callable[[LineReading, Expected, Language], bool]


def _lost_a_placeholder(source: str, target: str, number_words: Mapping[str, int]) -> bool:
    return Counter(PLACEHOLDER.findall(source)) != Counter(PLACEHOLDER.findall(target))


def _lost_a_number(source: str, target: str, number_words: Mapping[str, int]) -> bool:
    # Without placeholders: the digits of an address are checked with the address.
    source, target = PLACEHOLDER.sub(" ", source), PLACEHOLDER.sub(" ", target)
    return lost_number(source, target, number_words) is not None


# Reason and test (source, target, the target language's number words) of each check, cheap ones first. The
# first that fails gives the reason. An empty or looping text is also too short or too long, and a copy holds
# every number, so the more telling reason comes first.
TEXT_CHECKS: tuple[tuple[str, TextCheck], ...] = (
    (EMPTY, lambda source, target, words: not WORD.search(target)),
    (LOOP, lambda source, target, words: loops(target) and not loops(source)),
    (LONG, lambda source, target, words: width(target) > LONGEST * width(source) + MARGIN),
    (SHORT, lambda source, target, words: width(target) < SHORTEST * width(source) - MARGIN),
    (PLACEHOLDER_LOST, _lost_a_placeholder),
    (NUMBER_LOST, _lost_a_number),
    (COPY, lambda source, target, words: copies(source, target)),
)


@dataclass(frozen=True)
class TextChecks:
    """`TEXT_CHECKS` for one target language; ``number_words`` are its number words with their values."""

    number_words: Mapping[str, int] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What a verdict depends on; part of the translation memory's key."""
        # "guards" is what these checks were first called; another word would void every existing memory.
        return f"guards {key_of(VERSION, sorted(self.number_words.items()))}"

    def rejection(self, source: str, target: str | None) -> str | None:
        """Why ``target`` cannot be a translation of ``source`` (a reason of `TEXT_CHECKS`), or None.

        ``target`` is None where the translator did not come to its end.
        """
        if target is None:
            return BROKEN_OFF
        return next(
            (reason for reason, fails in TEXT_CHECKS if fails(source, target, self.number_words)), None
        )


def _options_differ(line: LineReading, expected: Expected, words: Language) -> bool:
    in_order = line.numbers == tuple(range(1, expected.options + 1))
    announced_once = line.option_markers == bool(expected.options)
    return not (in_order and announced_once and all(line.parts.options))


def _answer_differs(line: LineReading, expected: Expected, words: Language) -> bool:
    if line.answer_markers != 1 or line.marker_after_answer:
        return True
    if expected.explanation and not (line.explanation_markers == 1 and line.parts.explanation):
        return True
    answer = line.parts.answer
    if expected.choice is not None:
        return answer.strip(" .;,") != expected.label.format(expected.choice + 1)
    if expected.exactly is None:
        return not answer.strip(" .;,!?")
    accepted = {"yes": words.yes, "no": words.no}.get(expected.exactly, (expected.exactly,))
    return bare(answer) not in map(bare, accepted)


# The paper's three checks: reason and test of each. A line is rejected for the first that fails; the reject's
# details list all that fail.
PAIR_CHECKS: tuple[tuple[str, PairCheck], ...] = (
    (QUESTION, lambda line, expected, words: not any(map(str.isalnum, line.parts.question))),
    (OPTIONS, _options_differ),
    (ANSWER, _answer_differs),
)


def pair_rejections(line: LineReading, expected: Expected, words: Language) -> tuple[str, ...]:
    """The reasons for which the line of a pair, read by `read_line`, is rejected; empty where it passes.

    Args:
        expected: what the source's line held.
        words: the language of ``line``.
    """
    failed = tuple(reason for reason, fails in PAIR_CHECKS if fails(line, expected, words))
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
