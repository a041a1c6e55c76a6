"""Whether the text of an option stands beside its letter: "B. Un gatto", "Un gatto (B)"."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from ndino.languages.tokens import NEWLINE, Token, plain, tokens

# Of what stands beside a letter, so many words more than twice those of the longest option are read. More
# could mean that option only if nearly all of them were articles and the like, which add nothing.
SPARE_WORDS = 50
_AROUND = " )]}.:;,=–—-\n"


class OptionTexts:
    """Finds the texts of options in one answer.

    Args:
        text, found: the answer as `tokens.plain` and `tokens.tokens` make it.
        choices: the options' texts by letter.
        means: whether an answer means the same as an option's text.
        only_yes_or_no: yes or no for a text that is nothing else; None for any other.
    """

    def __init__(
        self,
        text: str,
        found: Sequence[Token],
        choices: Mapping[str, str],
        means: Callable[[str, str], bool],
        only_yes_or_no: Callable[[str], bool | None],
    ) -> None:
        self.choices = choices
        self._text, self._found, self._means = text, found, means
        self._words = [place for place, token in enumerate(found) if token.is_word]
        # "Yes" is meant by an answer of any length that begins with it.
        self._whole = {letter for letter, choice in choices.items() if only_yes_or_no(choice) is None}
        self._most = SPARE_WORDS + 2 * max((_count(choices[letter]) for letter in self._whole), default=0)

    def behind(self, place: int) -> set[str]:
        """The options whose text follows the token at ``place``, to the end of the line or of the answer."""
        if not self.choices:
            return set()
        start = self._found[place].end
        stop, is_cut = self._stop(place + 1, len(self._text))
        rest = self._text[start:stop].lstrip(_AROUND)
        line, ends, _ = rest.partition(NEWLINE)
        said = self._options(rest, is_cut=is_cut)
        return said | self._options(line, is_cut=False) if ends else said

    def before(self, place: int) -> set[str]:
        """The options whose text is all that stands before the token at ``place``."""
        if not self.choices:
            return set()
        stop, is_cut = self._stop(0, self._found[place].start)
        return self._options(self._text[:stop], is_cut=is_cut)

    def up_to_marks(self, place: int, end: int) -> set[str]:
        """The options whose text stands between the token at ``place`` and a mark before that at ``end``."""
        said: set[str] = set()
        if not self.choices:
            return said
        start = self._found[place].end
        for mark in self._found[place + 1 : end]:
            if not mark.is_word:
                stop, is_cut = self._stop(place + 1, mark.start)
                said |= self._options(self._text[start:stop].strip(" )]}.:-–—"), is_cut=is_cut)
                if is_cut:
                    break
        return said

    def _stop(self, place: int, end: int) -> tuple[int, bool]:
        """Where a text from the token at ``place`` is cut, and whether that is before ``end``."""
        last = bisect_left(self._words, place) + self._most
        if last >= len(self._words) or self._found[self._words[last]].end > end:
            return end, False
        return self._found[self._words[last]].end, True

    def _options(self, said: str, *, is_cut: bool) -> set[str]:
        said = said.strip()
        letters = self.choices.keys() - self._whole if is_cut else self.choices.keys()
        return {letter for letter in letters if said and self._means(said, self.choices[letter])}


def _count(text: str) -> int:
    return sum(token.is_word for token in tokens(plain(text)))
