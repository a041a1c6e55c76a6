"""Reads the letter of an option from an answer: "B", "(b)", "La risposta è B", "Non è A, è B"."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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
from ndino.languages.reading_words import ReadingWords, folded
from ndino.languages.remarks import Remarks
from ndino.languages.tokens import NEWLINE, Phrases, Token, plain, tokens


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
        same: whether an answer means the same as an option's text.
    """

    def __init__(self, words: ReadingWords, same: Callable[[str, str], bool]) -> None:
        self._same = same
        self._leads, self._announcing = words.lead_phrases, words.announcing_phrases
        self._remarks, self._copulas = Remarks(words), Phrases(words.copulas)
        self._breaks, self._reasons = Phrases(words.breaks), Phrases(words.reasons)
        self._rights = Phrases(words.right)
        self._denials, self._correcting = folded(words.denials), Phrases(words.correcting)
        self._articles, self._joining = folded(words.articles), folded((*words.articles, *words.joining))
        self._word_letters = frozenset(letter.upper() for letter in words.word_letters)

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
        lines = [self._alone(line, letters) for line in text.split(NEWLINE)]
        alone = [letter for letter in lines if letter]
        if lines and lines[0] and len({*alone}) == 1:
            # On the next line may stand the text of another option.
            head = next(token for token in tokens(text) if token.is_word)
            behind = self._options_behind(text, head, choices or {})
            return None if _contradicts(behind, lines[0]) else lines[0]
        matching = [letter for letter, choice in (choices or {}).items() if self._same(answer, choice)]
        if len(matching) == 1:
            return matching[0]
        found = tokens(text)
        judged = self._judged(text, found, letters, choices or {})
        mentions = [
            mention
            for mention in self._mentions(text, found, letters, choices or {})
            if not mention.denied and not any(mention.start <= place < mention.end for place in judged)
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

    def _alone(self, line: str, letters: str) -> str | None:
        found = tokens(line)
        words = [token.text for token in found if token.is_word]
        marks = {token.text for token in found if not token.is_word}
        if len(words) != 1 or len(words[0]) != 1 or marks & (FORMULA | CROSSES):
            return None
        return words[0].upper() if words[0].upper() in letters else None

    def _judged(
        self, text: str, found: list[Token], letters: str, choices: Mapping[str, str]
    ) -> dict[int, bool]:
        """Where an answer calls options right or wrong one by one: "A: errata, B: corretta".

        An option that heads a line or a clause with no word behind it, or with the reason for it, counts as
        called right. Empty unless two options are judged, and none that heads one is left without.
        """
        heads = {place: start for start, place in self._heads(found, letters)}
        if len({found[place].text.upper() for place in heads}) < 2:
            return {}
        read = self._remarks.judgement
        if any(read(tokens(plain(choice)), may_be_text=False) is not None for choice in choices.values()):
            return {}  # what looks like a judgement may be the text of an option
        judged: dict[int, bool] = {}
        named: list[int] = []
        ends = [*heads.values(), len(found)][1:]
        for place, end in zip(heads, ends, strict=True):
            line = next((n for n in range(place, end) if found[n].text == NEWLINE), end)
            behind = found[place + 1 : line]
            if self._reasons.at(behind, _first_word(behind)) or not any(token.is_word for token in behind):
                named.append(place)
                continue
            right = read(behind, may_be_text=not choices)
            marks = [token.start for token in behind if not token.is_word]
            before = {text[found[place].end : mark].strip(" )]}.:-–—") for mark in marks}
            if right is None or _contradicts(self._options_of(before, choices), found[place].text.upper()):
                return {}
            judged[place] = right
        if len({found[place].text.upper() for place in judged}) < 2:
            return {}
        return judged | dict.fromkeys(named, True)

    def _heads(self, found: list[Token], letters: str) -> Iterator[tuple[int, int]]:
        """Where options head a line or a clause ("- L'opzione A ..."): its start, and the letter's place."""
        for start in range(len(found)):
            if start and found[start - 1].text not in FULL_STOPS | {",", ";"}:
                continue
            place = start
            while place < len(found) and (
                length := self._leads.at(found, place)
                or (found[place].text in OPENING or not (found[place].is_word or ends_clause(found, place)))
            ):
                place += length
            if place == len(found) or len(found[place].text) != 1 or found[place].text.upper() not in letters:
                continue
            if found[place].is_capital or (place + 1 < len(found) and not found[place + 1].is_word):
                yield start, place

    def _mentions(
        self, text: str, found: list[Token], letters: str, choices: Mapping[str, str]
    ) -> list[_Mention]:
        mentions = [
            mention
            for place in range(len(found))
            if (mention := self._mention(text, found, place, letters, choices)) is not None
        ]
        lines = [0, *(place + 1 for place, token in enumerate(found) if token.text == NEWLINE)]
        for group in self._joined(found, mentions):
            start, end = group[0].start, group[-1].end
            denied = not group[0].is_labelled and self._remarks.denied_before(found, start)
            denied = denied or (not group[-1].labels and self._remarks.denied_after(found, end))
            denied = denied or (not group[-1].own_text and self._remarks.offers_another(found, end))
            mark = mark_beside(found, start, end, lines[bisect_right(lines, start) - 1])
            denied = denied or mark in CROSSES
            # "The options are A, B and C" announces none of them.
            described = self._copulas.at(found, end) > 0
            announced = (group[0].announced and not described) or self._remarks.is_confirmed(found, end)
            announced = announced or mark in TICKS
            announced = announced and len(group) == 1
            for mention in group:
                mention.denied, mention.announced = mention.denied or denied, announced
        # "No, I mean" takes back what is before it where another option is named behind it.
        last = max((mention.start for mention in mentions if not mention.denied), default=0)
        corrected = self._remarks.last_correction(found, last)
        for mention in mentions:
            mention.denied = mention.denied or (mention.end <= corrected and not mention.own_text)
        return mentions

    def _mention(
        self, text: str, found: list[Token], place: int, letters: str, choices: Mapping[str, str]
    ) -> _Mention | None:
        token = found[place]
        letter = token.text.upper()
        if len(token.text) != 1 or letter not in letters:
            return None
        before = found[place - 1] if place else None
        after = found[place + 1] if place + 1 < len(found) else None
        enclosed = bool(before and after and before.text in OPENING and after.text in CLOSING)
        if not enclosed and is_in_formula(found, place):
            return None
        start, end = (place - 1, place + 2) if enclosed else (place, place + 1)
        if not enclosed and after and after.glued and after.text in CLOSING:
            end += 1
        mention = _Mention(letter, start, end)
        announced = self._is_announced(found, start)
        is_first = place == _first_word(found)
        behind = self._options_behind(text, token, choices)
        has_text = letter in behind
        own_text = has_text and is_first
        comma = end < len(found) and found[end].text == ","
        reasoned = self._reasons.at(found, end + comma) > 0
        closed = end == len(found) or not found[end].is_word
        if token.text.islower():
            # A small letter is an option in brackets, as a label ("b) ...") or where it is announced.
            label = (
                (is_first or found[place - 1].text == NEWLINE)
                and end < len(found)
                and found[end].text in ".:"
            )
            word = letter in self._word_letters and not (closed or reasoned)
            if not (enclosed or end > place + 1 or label or own_text or (announced and not word)):
                return None
        elif not (enclosed or end > place + 1 or own_text) and self._is_a_word(found, place, letter):
            return None
        at_start = is_first or self._leads_only(found, start)
        mention.announced = announced or (at_start and reasoned) or self._has_own_line(found, place, letters)
        mention.announced = mention.announced or (own_text and text.count(NEWLINE) == 0)
        mention.leading = at_start or enclosed or self._has_own_clause(found, start, end)
        bracketed = not enclosed and not announced and end > place + 1
        new_text = end < len(found) and found[end].text[0].isupper()
        said_before = self._options_of({text[: found[start].start]}, choices) if enclosed else set()
        mention.is_labelled = letter in said_before
        mention.own_text, mention.labels = has_text, has_text or bracketed or new_text
        mention.denied = _contradicts(said_before, letter) or _contradicts(behind, letter)
        return mention

    def _is_a_word(self, found: list[Token], place: int, letter: str) -> bool:
        """Whether a capital is a word that begins a sentence: "A destra", "E poi", but not "A perché"."""
        if letter not in self._word_letters or (place and found[place - 1].text not in FULL_STOPS):
            return False
        if place + 1 == len(found) or not found[place + 1].is_word:
            return False
        after = found[place + 1]
        article = after.text[0].isupper() and after.key in self._articles
        # "A o B": another option follows.
        joined = after.key in self._joining and place + 2 < len(found) and found[place + 2].is_capital
        follows = self._copulas.at(found, place + 1) or self._reasons.at(found, place + 1)
        return not (article or joined or follows or after.key in self._denials)

    def _is_announced(self, found: list[Token], start: int) -> bool:
        """Whether "the answer is", "option", "I choose" or the like stands before."""
        place = start
        while place:
            if length := self._leads.before(found, place):
                # On the line before, "is right" is said of what stands there.
                judges = self._rights.at(found, place) and NEWLINE in {
                    token.text for token in found[place:start]
                }
                if self._announcing.before(found, place) and not judges:
                    return True
                place -= length
            elif found[place - 1].text in LEADING_MARKS:
                place -= 1
            else:
                return False
        return False

    def _leads_only(self, found: list[Token], start: int) -> bool:
        """Whether only words that may lead to an option stand before, back to the start of the answer."""
        place = start
        while place:
            length = self._leads.before(found, place) or int(not found[place - 1].is_word)
            if not length:
                return False
            place -= length
        return True

    def _options_behind(self, text: str, token: Token, choices: Mapping[str, str]) -> set[str]:
        """The options whose text follows a letter, to the end of the line or of the answer."""
        rest = text[token.end :].lstrip(" )]}.:;,=–—-\n")
        return self._options_of({rest, rest.split(NEWLINE)[0]}, choices)

    def _options_of(self, texts: set[str], choices: Mapping[str, str]) -> set[str]:
        said = {text.strip() for text in texts}
        return {
            letter
            for letter, choice in choices.items()
            if any(text and self._same(text, choice) for text in said)
        }

    def _has_own_line(self, found: list[Token], place: int, letters: str) -> bool:
        """Whether an option heads the first of several lines, and no other one any line."""
        breaks = [line for line, token in enumerate(found) if token.text == NEWLINE]
        if not breaks or place != _first_word(found):
            return False
        options = [token for token in found[: breaks[0]] if token.is_capital and token.text in letters]
        heads = [_first_word(found[line:]) + line for line in breaks]
        return len(options) < 2 and not any(len(found[head].text) == 1 for head in heads)

    def _has_own_clause(self, found: list[Token], start: int, end: int) -> bool:
        """Whether an option is a clause by itself, the last one: "Non ho dubbi: B", "Non A ma B"."""
        while start and found[start - 1].key in self._articles:
            start -= 1
        begins = start == 0 or ends_clause(found, start - 1) or self._breaks.before(found, start) > 0
        begins = begins or self._correcting.before(found, start) > 0
        return begins and all(not token.is_word for token in found[end:])

    def _joined(self, found: list[Token], mentions: Sequence[_Mention]) -> list[list[_Mention]]:
        """Mentions that are named together: "A e B", "A, B o C", "né A né B"."""
        groups: list[list[_Mention]] = []
        for mention in mentions:
            between = found[groups[-1][-1].end : mention.start] if groups else []
            if groups and all(token.key in self._joining or token.text in ",/" for token in between):
                groups[-1].append(mention)
            else:
                groups.append([mention])
        return groups


def _contradicts(options: set[str], letter: str) -> bool:
    """Whether a letter stands with the text of another option, and not with its own."""
    return bool(options) and letter not in options


def _first_word(found: Sequence[Token]) -> int:
    return next((place for place, token in enumerate(found) if token.is_word), 0)
