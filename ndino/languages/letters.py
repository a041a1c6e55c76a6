"""Reads the letter of an option from an answer: "B", "(b)", "La risposta è B", "Non è A, è B"."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ndino.languages.reading_words import ReadingWords, folded
from ndino.languages.tokens import NEWLINE, Phrases, Token, plain, tokens

_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_BOUNDARIES = frozenset({".", ",", ":", ";", "!", "?", "(", ")", "–", "—", NEWLINE})
_FULL_STOPS = frozenset({".", ":", "!", "?", NEWLINE})
_LEADING_MARKS = frozenset({":", "-", "–", NEWLINE})
# Signs of right and wrong; a ballot box with a cross may mean either.
_TICKS, _CROSSES = frozenset("✓✔✅☑👍"), frozenset("✗✘✕✖❌❎☐👎")
# Beside one of these a letter is part of a formula: "F = ma", "A + B", "20 °C".
_FORMULA = frozenset("=+*/^<>≤≥≠≈×·÷±→∝~|°\\%&@#")


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
        self._copulas, self._affirming = Phrases(words.copulas), Phrases(words.affirming)
        self._breaks, self._reasons = Phrases(words.breaks), Phrases(words.reasons)
        self._denials = folded(words.denials)
        self._no, self._excluding = folded(words.no), Phrases(words.excluding)
        self._right, self._wrong = folded(words.right), Phrases(words.wrong)
        self._rejecting, self._passives = Phrases((*words.excluding, *words.wrong)), Phrases(words.passives)
        self._correcting = Phrases(words.correcting)
        self._right_nouns = folded(words.announcers)
        self._articles, self._joining = folded(words.articles), folded((*words.articles, *words.joining))
        self._either = folded(words.either)
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
            return None if self._is_of_another(text, head, lines[0], choices or {}) else lines[0]
        matching = [letter for letter, choice in (choices or {}).items() if self._same(answer, choice)]
        if len(matching) == 1:
            return matching[0]
        mentions = self._mentions(text, letters, choices or {})
        announced = {mention.letter for mention in mentions if mention.announced and not mention.denied}
        named = {mention.letter for mention in mentions if not mention.denied}
        if announced or len(named) != 1 or not any(m.leading for m in mentions if not m.denied):
            return announced.pop() if len(announced) == 1 else None
        return named.pop()

    def _alone(self, line: str, letters: str) -> str | None:
        found = tokens(line)
        words = [token.text for token in found if token.is_word]
        marks = {token.text for token in found if not token.is_word}
        if len(words) != 1 or len(words[0]) != 1 or marks & (_FORMULA | _CROSSES):
            return None
        return words[0].upper() if words[0].upper() in letters else None

    def _mentions(self, text: str, letters: str, choices: Mapping[str, str]) -> list[_Mention]:
        found = tokens(text)
        mentions = [
            mention
            for place in range(len(found))
            if (mention := self._mention(text, found, place, letters, choices)) is not None
        ]
        lines = [0, *(place + 1 for place, token in enumerate(found) if token.text == NEWLINE)]
        for group in self._joined(found, mentions):
            start, end = group[0].start, group[-1].end
            denied = not group[0].is_labelled and self._is_denied_before(found, start)
            denied = denied or (not group[-1].labels and self._is_denied_after(found, end))
            denied = denied or (not group[-1].own_text and self._offers_another(found, end))
            mark = _mark_beside(found, start, end, lines[bisect_right(lines, start) - 1])
            denied = denied or mark in _CROSSES
            # "The options are A, B and C" announces none of them.
            described = self._copulas.at(found, end) > 0
            announced = (group[0].announced and not described) or self._is_confirmed(found, end)
            announced = announced or mark in _TICKS
            announced = announced and len(group) == 1
            for mention in group:
                mention.denied, mention.announced = mention.denied or denied, announced
        self._deny_corrected(found, mentions)
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
        enclosed = bool(before and after and before.text in _OPENING and after.text in _CLOSING)
        if not enclosed and _is_in_formula(found, place):
            return None
        start, end = (place - 1, place + 2) if enclosed else (place, place + 1)
        if not enclosed and after and after.glued and after.text in _CLOSING:
            end += 1
        mention = _Mention(letter, start, end)
        announced = self._is_announced(found, start)
        is_first = place == _first_word(found)
        has_text = letter in self._options_behind(text, token, choices)
        own_text = has_text and is_first
        comma = end < len(found) and found[end].text == ","
        reasoned = self._reasons.at(found, end + comma) > 0
        closed = end == len(found) or not found[end].is_word
        if token.text.islower():
            # A small letter is an option in brackets, as a label ("b) ...") or where it is announced.
            label = is_first and end < len(found) and found[end].text in ".:"
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
        another = said_before - {letter} and not mention.is_labelled
        mention.denied = bool(another) or self._is_of_another(text, token, letter, choices)
        return mention

    def _is_a_word(self, found: list[Token], place: int, letter: str) -> bool:
        """Whether a capital is a word that begins a sentence: "A destra", "E poi", but not "A perché"."""
        if letter not in self._word_letters or (place and found[place - 1].text not in _FULL_STOPS):
            return False
        if place + 1 == len(found) or not found[place + 1].is_word:
            return False
        after = found[place + 1]
        article = after.text[0].isupper() and after.key in self._articles
        # "A o B": another option follows.
        joined = after.key in self._joining and place + 2 < len(found) and _is_capital(found[place + 2])
        follows = self._copulas.at(found, place + 1) or self._reasons.at(found, place + 1)
        return not (article or joined or follows or after.key in self._denials)

    def _is_announced(self, found: list[Token], start: int) -> bool:
        """Whether "the answer is", "option", "I choose" or the like stands before."""
        place = start
        while place:
            if length := self._leads.before(found, place):
                if self._announcing.before(found, place):
                    return True
                place -= length
            elif found[place - 1].text in (":", NEWLINE, "-", "–"):
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

    def _is_of_another(self, text: str, token: Token, letter: str, choices: Mapping[str, str]) -> bool:
        """Whether a letter has the text of another option behind it, and not its own: they contradict."""
        behind = self._options_behind(text, token, choices)
        return bool(behind) and letter not in behind

    def _offers_another(self, found: list[Token], end: int) -> bool:
        """Whether "or" follows, so that the option is one of two choices: "B or none"."""
        comma = end < len(found) and found[end].text == ","
        return end + comma < len(found) and found[end + comma].key in self._either

    def _has_own_line(self, found: list[Token], place: int, letters: str) -> bool:
        """Whether an option heads the first of several lines, and no other one any line."""
        breaks = [line for line, token in enumerate(found) if token.text == NEWLINE]
        if not breaks or place != _first_word(found):
            return False
        options = [token for token in found[: breaks[0]] if _is_capital(token) and token.text in letters]
        heads = [_first_word(found[line:]) + line for line in breaks]
        return len(options) < 2 and not any(len(found[head].text) == 1 for head in heads)

    def _has_own_clause(self, found: list[Token], start: int, end: int) -> bool:
        """Whether an option is a clause by itself, the last one: "Non ho dubbi: B", "Non A ma B"."""
        while start and found[start - 1].key in self._articles:
            start -= 1
        begins = start == 0 or _ends_clause(found, start - 1) or self._breaks.before(found, start) > 0
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

    def _is_denied_before(self, found: list[Token], start: int) -> bool:
        """Whether a denial stands before in the same clause, or "wrong:" with nothing of its own."""
        place = start
        while place and not _ends_clause(found, place - 1):
            if self._breaks.before(found, place) or self._correcting.before(found, place):
                break
            if length := self._affirming.before(found, place):
                place -= length
                continue
            if self._excluding.before(found, place) or found[place - 1].key in self._denials:
                return True
            place -= 1
        return self._is_called_wrong_before(found, start)

    def _is_called_wrong_before(self, found: list[Token], start: int) -> bool:
        """Whether "wrong" announces an option: "Wrong: B", "The wrong answer is B", not "A: wrong, B"."""
        place = start
        while place and not (length := self._rejecting.before(found, place)):
            opens = found[place - 1].text in _OPENING or found[place - 1].text in _LEADING_MARKS
            length = self._leads.before(found, place) or int(opens)
            if not length:
                return False
            place -= length
        if not place:
            return False
        colon = NEWLINE not in {token.text for token in found[place:start]} or found[place].text == ":"
        place -= length
        while place and (length := self._leads.before(found, place)):
            place -= length
        return colon and (not place or found[place - 1].text in _FULL_STOPS - {":"})

    def _is_denied_after(self, found: list[Token], end: int) -> bool:
        """Whether a denial follows, or "is wrong", "(wrong)", "? No"."""
        if end < len(found) and found[end].key in self._denials:
            return True
        if self._is_called_wrong_after(found, end):
            return True
        length = self._copulas.at(found, end) or self._passives.at(found, end)
        while length and end < len(found) and not _ends_clause(found, end):
            if self._breaks.at(found, end):
                break
            if self._wrong.at(found, end) or found[end].key in self._denials:
                return True
            end += 1
        return False

    def _is_called_wrong_after(self, found: list[Token], end: int) -> bool:
        """Whether a remark rejects an option: "B (wrong)", "B: not right", "B? No", "B I exclude"."""
        place = end
        asked = place < len(found) and found[place].text == "?"
        bracketed = place < len(found) and found[place].text in _OPENING
        if (
            asked
            or bracketed
            or (place < len(found) and found[place].text in {*_LEADING_MARKS, ","} - {NEWLINE})
        ):
            place += 1
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
                    bool(self._breaks.at(found, place)) or (asked and not _is_capital(found[place]))
                )
            rejected = rejected or bool(wrong or denial)
            place += length
        return rejected

    def _deny_corrected(self, found: list[Token], mentions: Sequence[_Mention]) -> None:
        """Deny the options before "no, I mean" where another one is named behind it."""
        last = max((mention.start for mention in mentions if not mention.denied), default=0)
        corrected = 0
        for place in range(1, last):
            after_stop = _ends_clause(found, place - 1) and found[place + 1].text == ","
            if self._correcting.at(found, place) or (after_stop and found[place].key in self._no):
                corrected = place
        for mention in mentions:
            mention.denied = mention.denied or (mention.end <= corrected and not mention.own_text)

    def _is_confirmed(self, found: list[Token], end: int) -> bool:
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


def _first_word(found: Sequence[Token]) -> int:
    return next((place for place, token in enumerate(found) if token.is_word), 0)


def _is_in_formula(found: Sequence[Token], place: int) -> bool:
    before = found[place - 1] if place else None
    after = found[place + 1] if place + 1 < len(found) else None
    labels = after is not None and after.glued and after.text in _CLOSING
    if before and (before.text in _FORMULA or _is_joined(found, place - 1)):
        return True
    if before and before.text.isdecimal() and not labels:
        return True
    if after is None:
        return False
    return after.text in _FORMULA or (after.glued and after.text in _OPENING) or _is_joined(found, place + 1)


def _mark_beside(found: Sequence[Token], start: int, end: int, line: int) -> str:
    """The tick or cross of an option: before it if its line (from ``line``) begins with one, else behind."""
    marks = _TICKS | _CROSSES
    end += end < len(found) and found[end].text in (_LEADING_MARKS - {NEWLINE}) | _OPENING
    before = found[start - 1].text if start else ""
    after = found[end].text if end < len(found) else ""
    if before not in marks and after not in marks:
        return ""
    if found[line].text in marks:
        return before if before in marks else ""
    if after in marks:
        return after
    return before if start > 1 and not found[start - 2].is_word else ""


def _is_joined(found: Sequence[Token], place: int) -> bool:
    """Whether a hyphen or point without blanks joins two words: "B-12", "a.C."."""
    joins = found[place].text in "-−." and found[place].glued and place + 1 < len(found)
    return joins and found[place + 1].is_word and found[place + 1].glued


def _ends_clause(found: Sequence[Token], place: int) -> bool:
    return found[place].text in _BOUNDARIES


def _is_capital(token: Token) -> bool:
    return len(token.text) == 1 and token.text.isupper()
