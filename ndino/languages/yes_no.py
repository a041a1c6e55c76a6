"""Reads yes or no: from the first word of an answer, or by POPE's own rule from its first sentence."""

from __future__ import annotations

from ndino.languages.reading_words import ReadingWords, folded
from ndino.languages.tokens import NEWLINE, Token, plain, tokens

_SENTENCE_ENDS = frozenset({".", "!", "?", NEWLINE})


class YesNoReader:
    """Reads yes or no by one language's words."""

    def __init__(self, words: ReadingWords) -> None:
        self._leads, self._announcing = words.lead_phrases, words.announcing_phrases
        self._yes, self._yes_alone = folded(words.yes), folded(words.yes_alone)
        self._no, self._denials = folded(words.no), folded(words.denials)
        self._connecting = self._yes | self._yes_alone | self._no | folded((*words.joining, *words.breaks))

    def first_word(self, answer: str) -> bool | None:
        """True where the answer begins with yes, False where with no, None for anything else.

        What announces the answer is passed over ("The answer is no"). "Yes and no" is neither, and neither
        is a denied yes ("The answer is not yes").
        """
        found = tokens(plain(answer))
        words = {token.key for token in found if token.is_word}
        both = words & self._no and words & (self._yes | self._yes_alone)
        if both and words <= self._connecting:
            return None
        return self._at(found, self._after_leads(found))

    def only_word(self, text: str) -> bool | None:
        """True where a text is the word yes and nothing else, False where it is no, otherwise None."""
        words = [token for token in tokens(plain(text)) if token.is_word]
        return self._at(words, 0) if len(words) == 1 else None

    def denies(self, answer: str) -> bool:
        """POPE's own rule: an answer is a no if its first sentence denies anything, and a yes otherwise."""
        for token in tokens(plain(answer)):
            if token.text in _SENTENCE_ENDS:
                return False
            if token.key in self._denials:
                return True
        return False

    def _after_leads(self, found: list[Token]) -> int:
        """Where the answer begins behind what announces it; 0 where nothing announces it."""
        place, announced = 0, False
        while place < len(found):
            # "Sì" may be a lead, too ("si tratta"): a word that answers is never passed over.
            if self._at(found, place) is not None:
                return place
            length = self._leads.at(found, place)
            if length:
                announced = announced or self._announcing.at(found, place) > 0
            elif found[place].text == "," or (announced and found[place].text in (":", NEWLINE)):
                length = 1
            elif not found[place].is_word and not place:
                length = 1  # an opening bracket, a dash
            else:
                break
            place += length
        return place

    def _at(self, found: list[Token], place: int) -> bool | None:
        if place >= len(found):
            return None
        key = found[place].key
        if key in self._no:
            return False
        alone = place + 1 == len(found) or not found[place + 1].is_word
        return True if key in self._yes or (key in self._yes_alone and alone) else None
