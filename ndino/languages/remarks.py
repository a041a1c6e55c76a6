"""What an answer says of an option that it names: "not B", "B is wrong", "B or none", "B, I mean C"."""

from __future__ import annotations

from collections.abc import Sequence

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
from ndino.languages.tokens import NEWLINE, Phrases, Token

# What may stand between an option, its text and a judgement of it, and what may stand behind that.
_AROUND_JUDGEMENT = INLINE_MARKS | OPENING | CLOSING | frozenset(".,;—→=>")
_BEHIND_JUDGEMENT = CLOSING | frozenset(".,;:!–—-")


class Remarks:
    """Finds remarks by one language's words. An option is given as the tokens where it starts and ends."""

    def __init__(self, words: ReadingWords) -> None:
        self._leads, self._copulas = words.lead_phrases, Phrases(words.copulas)
        self._affirming, self._breaks = Phrases(words.affirming), Phrases(words.breaks)
        self._denials, self._excluding = folded(words.denials), Phrases(words.excluding)
        self._wrong, self._passives = Phrases(words.wrong), Phrases(words.passives)
        self._rejecting = Phrases((*words.excluding, *words.wrong))
        self._right, self._right_nouns = folded(words.right), folded(words.announcers)
        self._correcting, self._no = Phrases(words.correcting), folded(words.no)
        self._articles, self._either = folded(words.articles), folded(words.either)
        self._right_words, self._reasons = Phrases(words.right), Phrases(words.reasons)
        self._around = Phrases((*words.leads, *words.announcers, *words.copulas, *words.passives))

    def denied_before(self, found: list[Token], start: int) -> bool:
        """Whether a denial stands before in the same clause, or "wrong:" with nothing of its own."""
        place = start
        while place and not ends_clause(found, place - 1):
            if self._breaks.before(found, place) or self._correcting.before(found, place):
                break
            if length := self._affirming.before(found, place):
                place -= length
                continue
            if self._excluding.before(found, place) or found[place - 1].key in self._denials:
                return True
            place -= 1
        return self._called_wrong_before(found, start)

    def _called_wrong_before(self, found: list[Token], start: int) -> bool:
        """Whether "wrong" announces an option: "Wrong: B", "The wrong answer is B", not "A: wrong, B"."""
        place = start
        while place and not (length := self._rejecting.before(found, place)):
            length = self._leads.before(found, place) or int(found[place - 1].text in LEADING_MARKS | OPENING)
            if not length:
                return False
            place -= length
        if not place:
            return False
        colon = NEWLINE not in {token.text for token in found[place:start]} or found[place].text == ":"
        place -= length
        while place and (length := self._leads.before(found, place)):
            place -= length
        return colon and (not place or found[place - 1].text in FULL_STOPS - {":"})

    def denied_after(self, found: list[Token], end: int) -> bool:
        """Whether a denial follows, or "is wrong", "(wrong)", "? No"."""
        if end < len(found) and found[end].key in self._denials:
            return True
        if self._called_wrong_after(found, end):
            return True
        length = self._copulas.at(found, end) or self._passives.at(found, end)
        while length and end < len(found) and not ends_clause(found, end):
            if self._breaks.at(found, end):
                break
            if self._wrong.at(found, end) or found[end].key in self._denials:
                return True
            end += 1
        return False

    def _called_wrong_after(self, found: list[Token], end: int) -> bool:
        """Whether a remark rejects an option: "B (wrong)", "B: not right", "B? No", "B I exclude"."""
        mark = found[end].text if end < len(found) else ""
        asked, bracketed = mark == "?", mark in OPENING
        place = end + (asked or bracketed or mark == "," or mark in INLINE_MARKS)
        if place == len(found):
            return False
        # "B: Wrong" may be the text of an option.
        if place > end and not (asked or bracketed) and not found[place].text.islower():
            return False
        denies = asked or (bracketed and found[place].text.islower())
        clitic = place == end and found[place].key in self._articles
        rejected = False
        while place < len(found) and found[place].is_word:
            wrong = self._wrong.at(found, place) or (
                self._excluding.at(found, place) if clitic or asked else 0
            )
            denial = int(
                denies and not self._affirming.at(found, place) and found[place].key in self._denials
            )
            length = wrong or denial or self._leads.at(found, place)
            if not length:
                # "B, wrong is A" is about another option; "B? I do not think so" is about this one.
                return rejected and (
                    bool(self._breaks.at(found, place)) or (asked and not found[place].is_capital)
                )
            rejected = rejected or bool(wrong or denial)
            place += length
        return rejected

    def offers_another(self, found: list[Token], end: int) -> bool:
        """Whether "or" follows, so that the option is one of two choices: "B or none"."""
        comma = end < len(found) and found[end].text == ","
        return end + comma < len(found) and found[end + comma].key in self._either

    def is_confirmed(self, found: list[Token], end: int) -> bool:
        """Whether "is right" or "is the answer" follows."""
        place = end + self._copulas.at(found, end)
        if place == end:
            return False
        while place < len(found):
            if found[place].key in self._right or found[place].key in self._right_nouns:
                return True
            length = self._leads.at(found, place)
            if not length:
                return False
            place += length
        return False

    def judgement(self, found: Sequence[Token], *, may_be_text: bool) -> bool | None:
        """Whether what stands behind an option calls it right or wrong, and says no more but why; else None.

        "B: corretta", "B è errata, perché ...", "B (da escludere)"; with the option's text before: "B) un
        cane: corretta". "In part right" and "not wrong" are no judgement.

        Args:
            may_be_text: what begins with a capital may be the option's text: "B) Vera".
        """
        start = 0
        while start < len(found) and found[start].text in _AROUND_JUDGEMENT:
            start += 1
        right, end = self._judged_at(found, start)
        bracketed = start > 0 and found[start - 1].text in OPENING
        if right is not None and (not may_be_text or bracketed or not found[start].text[0].isupper()):
            ends = end == len(found) or found[end].text in _BEHIND_JUDGEMENT or self._reasons.at(found, end)
            return right if ends and not self._takes_back(found, end) else None
        for place in range(len(found) - 1, start, -1):
            if found[place - 1].text in _AROUND_JUDGEMENT:
                right, end = self._judged_at(found, place)
                if right is not None:
                    return right if all(not token.is_word for token in found[end:]) else None
        return None

    def _judged_at(self, found: Sequence[Token], place: int) -> tuple[bool | None, int]:
        """What is said of an option from ``place``, and where that ends; None if it is neither or both."""
        said: bool | None = None
        denied = False
        while place < len(found):
            mark = found[place].text
            wrong = self._wrong.at(found, place) or int(mark in CROSSES)
            right = self._right_words.at(found, place) or int(mark in TICKS)
            denial = int(found[place].key in self._denials)
            length = wrong or right or denial or self._around.at(found, place)
            if not length:
                break
            if wrong or right:
                if (denied and wrong) or said is (not right):
                    return None, place
                said = bool(right) and not denied
            denied = denied or bool(denial)
            place += length
        return said, place

    def _takes_back(self, found: Sequence[Token], end: int) -> bool:
        """Whether the next clause limits what was said: "right, but not the best"."""
        following = end + (end < len(found) and not found[end].is_word)
        return bool(self._breaks.at(found, following)) and not self._reasons.at(found, following)

    def last_correction(self, found: list[Token], end: int) -> int:
        """Where the last "no, I mean" before ``end`` begins; 0 without one."""
        corrected = 0
        for place in range(1, end):
            after_stop = ends_clause(found, place - 1) and found[place + 1].text == ","
            if self._correcting.at(found, place) or (after_stop and found[place].key in self._no):
                corrected = place
        return corrected
