"""What an answer says of an option that it names: "not B", "B is wrong", "B or none", "B, I mean C"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from ndino.languages.marks import (
    CLOSING,
    CROSSES,
    FULL_STOPS,
    INLINE_MARKS,
    LEADING_MARKS,
    OPENING,
    TICKS,
    ends_clause,
)
from ndino.languages.reading_words import ReadingWords, folded
from ndino.languages.tokens import NEWLINE, Phrases, Step, Token, follow

# What may stand between an option, its text and a judgement of it, and what may stand behind that.
_AROUND_JUDGEMENT = INLINE_MARKS | OPENING | CLOSING | frozenset(".,;—→=>")
_BEHIND_JUDGEMENT = CLOSING | frozenset(".,;:!–—-")


class RemarkWords:
    """One language's words for remarks on an option."""

    def __init__(self, words: ReadingWords) -> None:
        self.leads, self.copulas = words.lead_phrases, Phrases(words.copulas)
        self.affirming, self.breaks = Phrases(words.affirming), Phrases(words.breaks)
        self.denials, self.excluding = folded(words.denials), Phrases(words.excluding)
        self.wrong, self.passives = Phrases(words.wrong), Phrases(words.passives)
        self.rejecting = Phrases((*words.excluding, *words.wrong))
        self.right, self.right_nouns = folded(words.right), folded(words.announcers)
        self.correcting, self.no = Phrases(words.correcting), folded(words.no)
        self.articles, self.either = folded(words.articles), folded(words.either)
        self.right_words, self.reasons = Phrases(words.right), Phrases(words.reasons)
        self.around = Phrases((*words.leads, *words.announcers, *words.copulas, *words.passives))


@dataclass(frozen=True)
class _Remark:
    """A walk over what follows an option: from ``place``, with what began it and what it has met so far."""

    place: int
    asked: bool
    denies: bool
    clitic: bool
    rejected: bool = False


class Remarks:
    """Finds remarks in one answer's tokens. An option is given as the tokens where it starts and ends."""

    def __init__(self, words: RemarkWords, found: Sequence[Token]) -> None:
        self._words, self._found = words, found
        # How many line breaks stand before each token.
        self._lines = [*accumulate((token.text == NEWLINE for token in found), initial=0)]
        self._denied: dict[int, bool] = {}
        self._rejecting: dict[int, int] = {}
        self._before_leads: dict[int, int] = {}
        self._wrong_behind: dict[int, bool] = {}
        self._remarks: dict[_Remark, bool] = {}
        self._confirmed: dict[int, bool] = {}

    def denied_before(self, start: int) -> bool:
        """Whether a denial stands before in the same clause, or "wrong:" with nothing of its own."""
        return follow(self._denied, start, self._before_denial) or self._called_wrong_before(start)

    def _before_denial(self, place: int) -> Step[int, bool]:
        words, found = self._words, self._found
        if not place or ends_clause(found, place - 1):
            return None, False
        if words.breaks.before(found, place) or words.correcting.before(found, place):
            return None, False
        if length := words.affirming.before(found, place):
            return place - length, None
        if words.excluding.before(found, place) or found[place - 1].key in words.denials:
            return None, True
        return place - 1, None

    def _called_wrong_before(self, start: int) -> bool:
        """Whether "wrong" announces an option: "Wrong: B", "The wrong answer is B", not "A: wrong, B"."""
        found = self._found
        place = follow(self._rejecting, start, self._before_rejection)
        if not place:
            return False
        colon = self._lines[place] == self._lines[start] or found[place].text == ":"
        place -= self._words.rejecting.before(found, place)
        place = follow(self._before_leads, place, self._before_lead)
        return colon and (not place or found[place - 1].text in FULL_STOPS - {":"})

    def _before_rejection(self, place: int) -> Step[int, int]:
        """The walk back to the end of what rejects; it ends with 0 where something else comes first."""
        if not place or self._words.rejecting.before(self._found, place):
            return None, place
        mark = int(self._found[place - 1].text in LEADING_MARKS | OPENING)
        length = self._words.leads.before(self._found, place) or mark
        return (place - length, None) if length else (None, 0)

    def _before_lead(self, place: int) -> Step[int, int]:
        length = self._words.leads.before(self._found, place) if place else 0
        return (place - length, None) if length else (None, place)

    def denied_after(self, end: int) -> bool:
        """Whether a denial follows, or "is wrong", "(wrong)", "? No"."""
        words, found = self._words, self._found
        if end < len(found) and found[end].key in words.denials:
            return True
        if self._called_wrong_after(end):
            return True
        if words.copulas.at(found, end) or words.passives.at(found, end):
            return follow(self._wrong_behind, end, self._behind_copula)
        return False

    def _behind_copula(self, place: int) -> Step[int, bool]:
        words, found = self._words, self._found
        if place == len(found) or ends_clause(found, place) or words.breaks.at(found, place):
            return None, False
        if words.wrong.at(found, place) or found[place].key in words.denials:
            return None, True
        return place + 1, None

    def _called_wrong_after(self, end: int) -> bool:
        """Whether a remark rejects an option: "B (wrong)", "B: not right", "B? No", "B I exclude"."""
        found = self._found
        mark = found[end].text if end < len(found) else ""
        asked, bracketed = mark == "?", mark in OPENING
        place = end + (asked or bracketed or mark == "," or mark in INLINE_MARKS)
        if place == len(found):
            return False
        # "B: Wrong" may be the text of an option.
        if place > end and not (asked or bracketed) and not found[place].text.islower():
            return False
        denies = asked or (bracketed and found[place].text.islower())
        clitic = place == end and found[place].key in self._words.articles
        return follow(self._remarks, _Remark(place, asked, denies, clitic), self._in_remark)

    def _in_remark(self, at: _Remark) -> Step[_Remark, bool]:
        words, found, place = self._words, self._found, at.place
        if place == len(found) or not found[place].is_word:
            return None, at.rejected
        excluded = words.excluding.at(found, place) if at.clitic or at.asked else 0
        wrong = words.wrong.at(found, place) or excluded
        denial = int(at.denies and not words.affirming.at(found, place) and found[place].key in words.denials)
        length = wrong or denial or words.leads.at(found, place)
        if not length:
            # "B, wrong is A" is about another option; "B? I do not think so" is about this one.
            goes_on = bool(words.breaks.at(found, place)) or (at.asked and not found[place].is_capital)
            return None, at.rejected and goes_on
        return replace(at, place=place + length, rejected=at.rejected or bool(wrong or denial)), None

    def offers_another(self, end: int) -> bool:
        """Whether "or" follows, so that the option is one of two choices: "B or none"."""
        found = self._found
        comma = end < len(found) and found[end].text == ","
        return end + comma < len(found) and found[end + comma].key in self._words.either

    def is_confirmed(self, end: int) -> bool:
        """Whether "is right" or "is the answer" follows."""
        length = self._words.copulas.at(self._found, end)
        return length > 0 and follow(self._confirmed, end + length, self._behind_is)

    def _behind_is(self, place: int) -> Step[int, bool]:
        words, found = self._words, self._found
        if place == len(found):
            return None, False
        if found[place].key in words.right or found[place].key in words.right_nouns:
            return None, True
        length = words.leads.at(found, place)
        return (place + length, None) if length else (None, False)

    def last_correction(self, end: int) -> int:
        """Where the last "no, I mean" before ``end`` begins; 0 without one."""
        found, corrected = self._found, 0
        for place in range(1, end):
            after_stop = ends_clause(found, place - 1) and found[place + 1].text == ","
            if self._words.correcting.at(found, place) or (after_stop and found[place].key in self._words.no):
                corrected = place
        return corrected


def judgement(words: RemarkWords, found: Sequence[Token], *, may_be_text: bool) -> bool | None:
    """Whether what stands behind an option calls it right or wrong, and says no more but why; else None.

    "B: corretta", "B è errata, perché ...", "B (da escludere)"; with the option's text before: "B) un
    cane: corretta". "In part right" and "not wrong" are no judgement.

    Args:
        may_be_text: what begins with a capital may be the option's text: "B) Vera".
    """
    start = 0
    while start < len(found) and found[start].text in _AROUND_JUDGEMENT:
        start += 1
    right, end = _judged_at(words, found, start)
    bracketed = start > 0 and found[start - 1].text in OPENING
    if right is not None and (not may_be_text or bracketed or not found[start].text[0].isupper()):
        ends = end == len(found) or found[end].text in _BEHIND_JUDGEMENT or words.reasons.at(found, end)
        return right if ends and not _takes_back(words, found, end) else None
    for place in range(len(found) - 1, start, -1):
        if found[place - 1].text in _AROUND_JUDGEMENT:
            right, end = _judged_at(words, found, place)
            if right is not None:
                return right if all(not token.is_word for token in found[end:]) else None
    return None


def _judged_at(words: RemarkWords, found: Sequence[Token], place: int) -> tuple[bool | None, int]:
    """What is said of an option from ``place``, and where that ends; None if it is neither or both."""
    said: bool | None = None
    denied = False
    while place < len(found):
        mark = found[place].text
        wrong = words.wrong.at(found, place) or int(mark in CROSSES)
        right = words.right_words.at(found, place) or int(mark in TICKS)
        denial = int(found[place].key in words.denials)
        length = wrong or right or denial or words.around.at(found, place)
        if not length:
            break
        if wrong or right:
            if (denied and wrong) or said is (not right):
                return None, place
            said = bool(right) and not denied
        denied = denied or bool(denial)
        place += length
    return said, place


def _takes_back(words: RemarkWords, found: Sequence[Token], end: int) -> bool:
    """Whether the next clause limits what was said: "right, but not the best"."""
    following = end + (end < len(found) and not found[end].is_word)
    return bool(words.breaks.at(found, following)) and not words.reasons.at(found, following)
