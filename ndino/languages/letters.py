"""Reads the letter of an option from an answer: "B", "(b)", "La risposta è B", "Non è A, è B"."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ndino.languages.marks import (
    CLOSING,
    CROSSES,
    FORMULA,
    FULL_STOPS,
    LEADING_MARKS,
    OPENING,
    TICKS,
    ends_clause,
    is_in_formula,
    mark_beside,
)
from ndino.languages.option_texts import OptionTexts
from ndino.languages.reading_words import ReadingWords, folded
from ndino.languages.remarks import Remarks, RemarkWords, judgement
from ndino.languages.tokens import NEWLINE, Phrases, Step, Token, follow, plain, tokens


@dataclass
class _Mention:
    """A letter in an answer that may name an option.

    Attributes:
        start, end: its tokens, brackets included.
        denied: the answer says that it is not this option.
        announced: the answer says that it is this option.
        leading: it stands where an option would: at the start, in brackets, or in a clause of its own.
        own_text: the option's own text stands behind the letter.
        labels: a text of the option follows, and a denial there denies nothing: "A) No".
        is_labelled: the option's text stands before: "No (A)".
    """

    letter: str
    start: int
    end: int
    denied: bool = False
    announced: bool = False
    leading: bool = False
    own_text: bool = False
    labels: bool = False
    is_labelled: bool = False


class LetterReader:
    """Reads options by one language's words.

    Args:
        means: whether an answer means the same as an option's text.
        only_yes_or_no: yes or no for a text that is nothing else; None for any other.
    """

    def __init__(
        self,
        words: ReadingWords,
        means: Callable[[str, str], bool],
        only_yes_or_no: Callable[[str], bool | None],
    ) -> None:
        self._words, self._means, self._only_yes_or_no = _LetterWords(words), means, only_yes_or_no

    def read(self, answer: str, letters: str, choices: Mapping[str, str] | None = None) -> str | None:
        """The option that an answer names, as a capital from ``letters``; None if there is not exactly one.

        An answer that names several options is read only if it announces one of them ("Between A and B, the
        answer is B"). Not named are a denied option, one of two choices ("B or none"), a letter with the
        text of another option, and a letter that is a word or part of a formula.

        Args:
            answer: the model's answer.
            letters: the options that exist, such as ``"ABCD"``.
            choices: the options' texts by letter; an answer that repeats one of them counts as its letter.
        """
        text = plain(answer)
        found = tokens(text)
        texts = OptionTexts(text, found, choices or {}, self._means, self._only_yes_or_no)
        lines = [_alone(line, letters) for line in text.split(NEWLINE)]
        alone = [letter for letter in lines if letter]
        if lines and lines[0] and len({*alone}) == 1:
            # On the next line may stand the text of another option.
            head = next(place for place, token in enumerate(found) if token.is_word)
            return None if _contradicts(texts.behind(head), lines[0]) else lines[0]
        matching = [letter for letter, choice in (choices or {}).items() if self._means(answer, choice)]
        return matching[0] if len(matching) == 1 else _Answer(self._words, found, letters, texts).named()


class _LetterWords:
    """One language's words for naming an option."""

    def __init__(self, words: ReadingWords) -> None:
        self.leads, self.announcing = words.lead_phrases, words.announcing_phrases
        self.remarks, self.copulas = RemarkWords(words), Phrases(words.copulas)
        self.breaks, self.reasons = Phrases(words.breaks), Phrases(words.reasons)
        self.rights = Phrases(words.right)
        self.denials, self.correcting = folded(words.denials), Phrases(words.correcting)
        self.articles, self.joining = folded(words.articles), folded((*words.articles, *words.joining))
        self.letters = frozenset(letter.upper() for letter in words.word_letters)


class _Answer:
    """One answer that is no letter alone and no option's text."""

    def __init__(self, words: _LetterWords, found: Sequence[Token], letters: str, texts: OptionTexts) -> None:
        self._words, self._found, self._letters, self._texts = words, found, letters, texts
        self._remarks = Remarks(words.remarks, found)
        self._word_places = [place for place, token in enumerate(found) if token.is_word]
        self._first = self._word_places[0] if self._word_places else 0
        self._breaks = [place for place, token in enumerate(found) if token.text == NEWLINE]
        self._announced: dict[tuple[int, bool], bool] = {}
        self._leading: dict[int, bool] = {}
        # Where the articles begin that stand before each token.
        articles = (token.key in words.articles for token in found)
        self._behind_articles = [*accumulate(articles, lambda run, more: run + 1 if more else 0, initial=0)]

    def named(self) -> str | None:
        """The one option that the answer names; None if there is not exactly one."""
        found, judged = self._found, self._judged()
        mentions = [
            mention
            for mention in self._mentions()
            if not mention.denied and not any(place in judged for place in range(mention.start, mention.end))
        ]
        announced = {mention.letter for mention in mentions if mention.announced}
        right, wrong = (
            {found[place].text.upper() for place in judged if judged[place] is said} for said in (True, False)
        )
        if right & wrong:
            return None
        announced |= right
        named = {mention.letter for mention in mentions}
        if announced or len(named) != 1 or not any(mention.leading for mention in mentions):
            return announced.pop() if len(announced) == 1 else None
        return named.pop()

    def _judged(self) -> dict[int, bool]:
        """Where an answer calls options right or wrong one by one: "A: errata, B: corretta".

        An option that heads a line or a clause with no word behind it, or with the reason for it, counts as
        called right. Empty unless two options are judged, and none that heads one is left without.
        """
        found, words, choices = self._found, self._words, self._texts.choices
        heads = {place: start for start, place in self._heads()}
        if len({found[place].text.upper() for place in heads}) < 2:
            return {}
        asked = (tokens(plain(choice)) for choice in choices.values())
        if any(judgement(words.remarks, choice, may_be_text=False) is not None for choice in asked):
            return {}  # what looks like a judgement may be the text of an option
        judged: dict[int, bool] = {}
        named: list[int] = []
        ends = [*heads.values(), len(found)][1:]
        for place, end in zip(heads, ends, strict=True):
            line = next((n for n in range(place, end) if found[n].text == NEWLINE), end)
            behind = found[place + 1 : line]
            first = next((number for number, token in enumerate(behind) if token.is_word), 0)
            if words.reasons.at(behind, first) or not any(token.is_word for token in behind):
                named.append(place)
                continue
            right = judgement(words.remarks, behind, may_be_text=not choices)
            said = self._texts.up_to_marks(place, line)
            if right is None or _contradicts(said, found[place].text.upper()):
                return {}
            judged[place] = right
        if len({found[place].text.upper() for place in judged}) < 2:
            return {}
        return judged | dict.fromkeys(named, True)

    def _heads(self) -> Iterator[tuple[int, int]]:
        """Where options head a line or a clause ("- L'opzione A ..."): its start, and the letter's place."""
        found = self._found
        for start in range(len(found)):
            if start and found[start - 1].text not in FULL_STOPS | {",", ";"}:
                continue
            place = start
            while place < len(found) and (
                length := self._words.leads.at(found, place)
                or (found[place].text in OPENING or not (found[place].is_word or ends_clause(found, place)))
            ):
                place += length
            if place == len(found) or not self._is_letter(found[place]):
                continue
            if found[place].is_capital or (place + 1 < len(found) and not found[place + 1].is_word):
                yield start, place

    def _is_letter(self, token: Token) -> bool:
        return len(token.text) == 1 and token.text.upper() in self._letters

    def _mentions(self) -> list[_Mention]:
        found, remarks = self._found, self._remarks
        found_mentions = (self._mention(place) for place in range(len(found)))
        mentions = [mention for mention in found_mentions if mention is not None]
        lines = [0, *(place + 1 for place in self._breaks)]
        for group in self._joined(mentions):
            start, end = group[0].start, group[-1].end
            denied = not group[0].is_labelled and remarks.denied_before(start)
            denied = denied or (not group[-1].labels and remarks.denied_after(end))
            denied = denied or (not group[-1].own_text and remarks.offers_another(end))
            mark = mark_beside(found, start, end, lines[bisect_right(lines, start) - 1])
            denied = denied or mark in CROSSES
            # "The options are A, B and C" announces none of them.
            described = self._words.copulas.at(found, end) > 0
            announced = (group[0].announced and not described) or remarks.is_confirmed(end)
            announced = announced or mark in TICKS
            announced = announced and len(group) == 1
            for mention in group:
                mention.denied, mention.announced = mention.denied or denied, announced
        # "No, I mean" takes back what is before it where another option is named behind it.
        last = max((mention.start for mention in mentions if not mention.denied), default=0)
        corrected = remarks.last_correction(last)
        for mention in mentions:
            mention.denied = mention.denied or (mention.end <= corrected and not mention.own_text)
        return mentions

    def _mention(self, place: int) -> _Mention | None:
        found, token = self._found, self._found[place]
        if not self._is_letter(token):
            return None
        letter = token.text.upper()
        before = found[place - 1] if place else None
        after = found[place + 1] if place + 1 < len(found) else None
        enclosed = bool(before and after and before.text in OPENING and after.text in CLOSING)
        if not enclosed and is_in_formula(found, place):
            return None
        start, end = (place - 1, place + 2) if enclosed else (place, place + 1)
        if not enclosed and after and after.glued and after.text in CLOSING:
            end += 1
        mention = _Mention(letter, start, end)
        announced = self._is_announced(start)
        is_first = place == self._first
        behind = self._texts.behind(place)
        has_text = letter in behind
        own_text = has_text and is_first
        comma = end < len(found) and found[end].text == ","
        reasoned = self._words.reasons.at(found, end + comma) > 0
        closed = end == len(found) or not found[end].is_word
        if token.text.islower():
            # A small letter is an option in brackets, as a label ("b) ...") or where it is announced.
            label = (
                (is_first or found[place - 1].text == NEWLINE)
                and end < len(found)
                and found[end].text in ".:"
            )
            word = letter in self._words.letters and not (closed or reasoned)
            if not (enclosed or end > place + 1 or label or own_text or (announced and not word)):
                return None
        elif not (enclosed or end > place + 1 or own_text) and self._is_a_word(place, letter):
            return None
        at_start = is_first or follow(self._leading, start, self._before_leading)
        mention.announced = announced or (at_start and reasoned) or self._has_own_line(place)
        mention.announced = mention.announced or (own_text and not self._breaks)
        mention.leading = at_start or enclosed or self._has_own_clause(start, end)
        bracketed = not enclosed and not announced and end > place + 1
        new_text = end < len(found) and found[end].text[0].isupper()
        said_before = self._texts.before(start) if enclosed else set[str]()
        mention.is_labelled = letter in said_before
        mention.own_text, mention.labels = has_text, has_text or bracketed or new_text
        mention.denied = _contradicts(said_before, letter) or _contradicts(behind, letter)
        return mention

    def _is_a_word(self, place: int, letter: str) -> bool:
        """Whether a capital is a word that begins a sentence: "A destra", "E poi", but not "A perché"."""
        found, words = self._found, self._words
        if letter not in words.letters or (place and found[place - 1].text not in FULL_STOPS):
            return False
        if place + 1 == len(found) or not found[place + 1].is_word:
            return False
        after = found[place + 1]
        article = after.text[0].isupper() and after.key in words.articles
        # "A o B": another option follows.
        joined = after.key in words.joining and place + 2 < len(found) and found[place + 2].is_capital
        follows = words.copulas.at(found, place + 1) or words.reasons.at(found, place + 1)
        return not (article or joined or follows or after.key in words.denials)

    def _is_announced(self, start: int) -> bool:
        """Whether "the answer is", "option", "I choose" or the like stands before."""
        return follow(self._announced, (start, False), self._before_announced)

    def _before_announced(self, at: tuple[int, bool]) -> Step[tuple[int, bool], bool]:
        """A walk back, which knows whether it has passed the end of a line."""
        found, words, (place, passed) = self._found, self._words, at
        if not place:
            return None, False
        if length := words.leads.before(found, place):
            # On the line before, "is right" is said of what stands there.
            judges = passed and words.rights.at(found, place)
            if words.announcing.before(found, place) and not judges:
                return None, True
        elif found[place - 1].text in LEADING_MARKS:
            length = 1
        else:
            return None, False
        lines = {token.text for token in found[place - length : place]}
        return (place - length, passed or NEWLINE in lines), None

    def _before_leading(self, place: int) -> Step[int, bool]:
        """A walk back to the start of the answer over words that may lead to an option, and marks."""
        if not place:
            return None, True
        length = self._words.leads.before(self._found, place) or int(not self._found[place - 1].is_word)
        return (place - length, None) if length else (None, False)

    def _has_own_line(self, place: int) -> bool:
        """Whether an option heads the first of several lines, and no other one any line."""
        found, breaks = self._found, self._breaks
        if not breaks or place != self._first:
            return False
        options = [token for token in found[: breaks[0]] if token.is_capital and token.text in self._letters]
        after = (bisect_left(self._word_places, line) for line in breaks)
        # A line break is what is behind the last word.
        heads = [self._word_places[n] if n < len(self._word_places) else None for n in after]
        return len(options) < 2 and not any(
            len(found[line if head is None else head].text) == 1
            for line, head in zip(breaks, heads, strict=True)
        )

    def _has_own_clause(self, start: int, end: int) -> bool:
        """Whether an option is a clause by itself, the last one: "Non ho dubbi: B", "Non A ma B"."""
        found = self._found
        if self._word_places and self._word_places[-1] >= end:
            return False
        start -= self._behind_articles[start]
        begins = start == 0 or ends_clause(found, start - 1) or self._words.breaks.before(found, start) > 0
        return begins or self._words.correcting.before(found, start) > 0

    def _joined(self, mentions: Sequence[_Mention]) -> list[list[_Mention]]:
        """Mentions that are named together: "A e B", "A, B o C", "né A né B"."""
        groups: list[list[_Mention]] = []
        for mention in mentions:
            between = self._found[groups[-1][-1].end : mention.start] if groups else []
            if groups and all(token.key in self._words.joining or token.text in ",/" for token in between):
                groups[-1].append(mention)
            else:
                groups.append([mention])
        return groups


def _alone(line: str, letters: str) -> str | None:
    """The letter that a line holds besides marks, and nothing else."""
    found = tokens(line)
    words = [token.text for token in found if token.is_word]
    marks = {token.text for token in found if not token.is_word}
    if len(words) != 1 or len(words[0]) != 1 or marks & (FORMULA | CROSSES):
        return None
    return words[0].upper() if words[0].upper() in letters else None


def _contradicts(options: set[str], letter: str) -> bool:
    """Whether a letter stands with the text of another option, and not with its own."""
    return bool(options) and letter not in options
