"""Compares short answers: whether two mean the same, and whether a long one contains a short one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ndino.languages.numerals import LONGEST_NUMBER, Forms, forms, number_words, power_form, with_powers
from ndino.languages.reading_words import ReadingWords
from ndino.languages.text import clean, without_accents
from ndino.languages.tokens import NEWLINE, Phrases, plain, tokens

_INITIALS = re.compile(r"(?<=\b[^\W\d_])\.(?=[^\W\d_]\b)")
_FINAL_ACCENT = re.compile(r"(?<=[aeiou])'(?!\w)")
# What compares: "less than 5" is not 5, whatever stands between ("> € 5").
_UNEQUAL = "¦"  # stands for "≠", whose stroke would count as an accent
_COMPARING = f"<>≤≥≪≫~∼≈≃≅±{_UNEQUAL}"
_COMPARED = rf"[{_COMPARING}](?=\W{{0,3}}\d)"
_BEFORE_SIGN = rf"(?<![^\s(\[{{€$£:={_COMPARING}])"
_SIGN = re.compile(rf"{_BEFORE_SIGN}[-−–](?=[.,]?\d)")
_PLUS = re.compile(rf"{_BEFORE_SIGN}(?<!\d )\+(?=[.,]?\d)")
# Stands for a minus sign; a hyphen between two words or numbers is none.
_MINUS = "¬"
# Stands for the stroke of a compound unit; other strokes only part words.
_PER = "∕"
_IN_ANGLES = re.compile(r"<([^<>]*)>")
_DATE = r"\d{1,2}([/.-])\d{1,2}\1\d{2,4}(?!\w)"
_GROUPED_BY_BLANKS = r"\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?!\w|[.,:]\d)"
_POWER = rf"{_MINUS}?\d+(?:[.,]\d+)?\^-?\d+"
_NUMBER = rf"{_POWER}|{_DATE}|{_MINUS}?(?:{_GROUPED_BY_BLANKS}|\d+(?:[.,:'h]\d+)*|(?<![\w.])\.\d+)"
_WORD = rf"[^\W\d_]+(?:\+{{1,2}}|#)(?!\w)|[^\W_]+(?:['{_PER}][^\W_]+)*"
_LEADING_POINT = re.compile(r"^(-?)\.")
_CLAUSE_END = re.compile(r"[!?;…\n]|[.,:](?!\d)")


@dataclass(frozen=True)
class Word:
    """A word of an answer with the forms that compare equal: one of a word, maybe several of a number."""

    forms: Forms
    is_number: bool = False
    is_symbol: bool = False

    def is_same(self, other: Word) -> bool:
        return self.is_number == other.is_number and not self.forms.isdisjoint(other.forms)


class ShortAnswerReader:
    """Compares short answers by one language's words."""

    def __init__(self, words: ReadingWords) -> None:
        self._decimal = words.decimal
        listed = {_bare(word): str(value) for word, value in words.number_words.items()}
        self._number_words = number_words(words.numbers, tuple(listed.items()))
        self._articles, self._one, self._minus = map(_bare_set, (words.articles, words.one, words.minus))
        self._numero = words.numbering[0] if words.numbering else "№"
        names = _any_of(words.numbering)
        self._ordinal = re.compile(rf"(?<!\w)({names})\.?[º°](?=\s?\d)", re.IGNORECASE)
        self._numbering, self._clock = _bare_set(words.numbering), frozenset(words.clock)
        self._behind_scales = _bare_set(words.behind_scales)
        self._denials, self._breaks = _bare_set(words.denials), _bare_set(words.breaks)
        self._scales = {_bare(word): value for word, value in words.scales.items()}
        elided = _any_of([article for article in words.articles if article.endswith("'")])
        self._elided = re.compile(rf"\b(?:{elided})(?=\w)")
        marks = "".join(re.escape(mark) for mark in words.symbols if len(mark) == 1 and not mark.isalnum())
        self._part = re.compile(rf"{_COMPARED}|{_NUMBER}|{_WORD}|[{marks}+]")
        named = [(name, mark) for mark, names in words.symbols.items() for name in (mark, *names)]
        self._symbols = {self._unit(name): mark for name, mark in named}
        single = _any_of([key[0] for key in self._symbols if len(key) == 1 and key[0].isalnum()])
        self._per = re.compile(rf"(?<![^\W\d_])({single})\s?/\s?((?:{single})[23]?)(?!\w)")
        self._leads, self._copulas = words.lead_phrases, Phrases(words.copulas)
        self._presenting, self._announcing = Phrases(words.presenting), words.announcing_phrases
        self.words = lru_cache(maxsize=4096)(self._words)

    def same(self, one: str, other: str) -> bool:
        """Whether two short answers mean the same.

        Case, Unicode form, quotes, punctuation and accents are ignored, and so are articles, what announces
        an answer, and the spelling of numbers, units and currencies. A unit counts, and so does what
        compares: neither "5 km" nor ">5" is "5". Prepositions count: "a casa" is not "casa".
        """
        a, b = self.words(one), self.words(other)
        if not a or not b:
            # A text of marks alone has no words, and would then equal every such text.
            return not a and not b and clean(one) == clean(other)
        return _match(a, b)

    def contains(self, answer: str, target: str) -> bool:
        """Whether a longer answer has the words of a short one in a row, and no denial before them."""
        if self.same(answer, target):
            return True
        wanted = self.words(target)
        if not wanted:
            return False
        clauses = self._clauses(answer)
        if len(self._clauses(target)) > 1:
            clauses.append([word for clause in clauses for word in clause])
        return any(self._holds(clause, wanted) for clause in clauses)

    def _words(self, answer: str) -> tuple[Word, ...]:
        return tuple(self._content(self._parts(self._without_leads(with_powers(answer, self._decimal)))))

    def _without_leads(self, answer: str) -> str:
        """A short answer behind what announces it ("The answer is", "Answer:") or presents it ("It is")."""
        text = plain(answer)
        found = tokens(text)
        place = behind = 0
        announced = False
        while place < len(found):
            length = self._presenting.at(found, place)
            if length and (announced or place == behind):
                behind = place + length
            elif length := self._leads.at(found, place):
                announced = announced or self._announcing.at(found, place) > 0
                behind = place + length if self._copulas.at(found, place) else behind
            elif announced and found[place].text in (":", NEWLINE):
                length = 1
                behind = place + 1
            else:
                break
            place += length
        return text[found[behind].start :] if 0 < behind < len(found) else answer

    def _clauses(self, answer: str) -> list[list[Word]]:
        text = _INITIALS.sub("", plain(with_powers(answer, self._decimal)))
        found = [self._content(self._parts(part)) for part in _CLAUSE_END.split(text)]
        return [words for words in found if words]

    def _holds(self, clause: Sequence[Word], wanted: Sequence[Word]) -> bool:
        denied = False
        for start in range(len(clause) - len(wanted) + 1):
            if start:
                # A denial reaches as far as a word that begins a new clause.
                before = clause[start - 1].forms
                begins = not before.isdisjoint(self._breaks)
                denied = not begins and (denied or not before.isdisjoint(self._denials))
            if not denied and _match(clause[start : start + len(wanted)], wanted):
                return True
        return False

    def _parts(self, text: str) -> list[str]:
        # Before `clean`, which makes letters of them: "nº 5" is "n. 5".
        composed = unicodedata.normalize("NFC", text).replace("№", f"{self._numero}.")
        text = self._ordinal.sub(r"\1.", composed)
        text = _IN_ANGLES.sub(r"\1", clean(text))
        for written, sign in ((">=", "≥"), ("<=", "≤"), ("≠", _UNEQUAL)):
            text = text.replace(written, sign)
        text = _PLUS.sub("", _SIGN.sub(_MINUS, _INITIALS.sub("", text)))
        text = without_accents(_FINAL_ACCENT.sub("", self._elided.sub("", text)))
        text = self._per.sub(rf"\1{_PER}\2", text)
        return self._cut(text)

    def _unit(self, name: str) -> tuple[str, ...]:
        """The parts of a unit's name as they are in an answer, where elided articles are gone."""
        return tuple(self._cut(self._elided.sub("", _bare(name).replace("/", _PER))))

    def _cut(self, text: str) -> list[str]:
        return [match[0] for match in self._part.finditer(text)]

    def _content(self, parts: Sequence[str]) -> list[Word]:
        """The words of an answer without its articles, which count where there is nothing else."""
        words: list[Word] = []
        place = 0
        while place < len(parts):
            scaled = bool(place) and parts[place - 1] in self._scales
            if scaled and parts[place] in self._behind_scales and place + 1 < len(parts):
                # "Un milione di euro" is "un milione euro".
                place += 1
            behind_number = bool(words) and (words[-1].is_number or scaled)
            length, found = self._phrase(parts, place, behind_number=behind_number)
            if length == 1 and parts[place] in self._one:
                found = [_number("1")] if place == len(parts) - 1 else []
            elif length == 1 and (parts[place] in self._articles or self._numbers_next(parts, place)):
                found = []
            words += found
            place += length
        return self._combined(words) or [_word(part) for part in parts]

    def _numbers_next(self, parts: Sequence[str], place: int) -> bool:
        """Whether a number stands behind a word that only announces it, such as "n." in "n. 5"."""
        if parts[place] not in self._numbering or place + 1 == len(parts):
            return False
        return self._phrase(parts, place + 1)[1][0].is_number

    def _phrase(
        self, parts: Sequence[str], place: int, *, behind_number: bool = False
    ) -> tuple[int, list[Word]]:
        """The longest number or unit in words that begins at ``place``, or the part there."""
        part = parts[place]
        if part.lstrip(_MINUS + ".")[:1].isdecimal():
            digits, _, exponent = part.replace(_MINUS, "-").partition("^")
            found = forms(_LEADING_POINT.sub(r"\g<1>0.", digits), self._decimal)
            if exponent:
                found = [frozenset(_power(form, exponent) for form in each) for each in found]
            return 1, [Word(form, is_number=True) for form in found]
        if _PER in part:
            each = [self._symbols.get((name,), name) for name in part.split(_PER)]
            return 1, [_symbol("/".join(each))] if behind_number else list(map(_word, part.split(_PER)))
        # "Mil" is both in Spanish: a thousand, and a scale in "2 mil".
        scales = behind_number and part in self._scales
        for length in range(min(LONGEST_NUMBER, len(parts) - place), 0, -1):
            key = tuple(parts[place : place + length])
            mark = self._symbols.get(key)
            # "Metro" is also a word: only signs are units wherever they stand.
            if mark and (behind_number or not mark[0].isalnum() or mark in self._clock):
                return length, [_symbol(mark)]
            if not scales and (value := self._number_words.get(key)) is not None:
                return length, [_number(value)]
        return 1, [_word(part)]

    def _combined(self, words: list[Word]) -> list[Word]:
        """Numbers with what belongs to them: "meno 5", "2 milioni", "€ 5" as "5 €", "> 5", "ore 12:30"."""
        scaled: list[Word] = []
        for word in words:
            scale = next((self._scales[form] for form in word.forms if form in self._scales), 0)
            if scaled and scaled[-1].is_number and (forms_scaled := _scaled(scaled[-1].forms, scale)):
                scaled[-1] = Word(forms_scaled, is_number=True)
            else:
                scaled.append(word)
        done: list[Word] = []
        for word in scaled:
            before = done[-1] if done else None
            if word.is_number and before and not before.forms.isdisjoint(self._minus):
                done[-1] = Word(frozenset("-" + form for form in word.forms), is_number=True)
            elif (
                word.is_number and before and before.is_symbol and not (len(done) > 1 and done[-2].is_number)
            ):
                done.insert(-1, word)
            else:
                done.append(word)
        whole: list[Word] = []
        for word in done:
            before = whole[-1] if whole else None
            if word.is_number and before and (mark := next(iter(before.forms))) in _COMPARING:
                whole[-1] = Word(frozenset(mark + form for form in word.forms), is_number=True)
            elif not (before and word.forms <= self._clock and any(":" in form for form in before.forms)):
                whole.append(word)
        return whole


def _power(form: str, exponent: str) -> str:
    sign = "-" if form.startswith("-") else ""
    return sign + power_form(form.removeprefix("-"), exponent)


def _symbol(mark: str) -> Word:
    return Word(frozenset({mark}), is_symbol=True)


def _word(text: str) -> Word:
    return Word(frozenset({text}))


def _number(digits: str) -> Word:
    return Word(frozenset({digits}), is_number=True)


def _scaled(numbers: Forms, scale: int) -> Forms:
    """Numbers of ordinary length times a scale, without a point where nothing is left behind it."""
    if not scale:
        return frozenset()
    values = [number for number in numbers if not re.search("[:^]", number) and len(number) < 15]
    return frozenset(f"{float(value) * scale:.6f}".rstrip("0").rstrip(".") for value in values)


def _match(a: Sequence[Word], b: Sequence[Word]) -> bool:
    return len(a) == len(b) and all(one.is_same(other) for one, other in zip(a, b, strict=True))


def _any_of(words: Sequence[str]) -> str:
    """An expression for one of these words, which matches nothing where there are none."""
    return "|".join(map(re.escape, words)) or r"(?!)"


def _bare(text: str) -> str:
    return without_accents(clean(text))


def _bare_set(words: Sequence[str]) -> frozenset[str]:
    return frozenset(map(_bare, words))
