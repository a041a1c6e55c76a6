"""The words by which a language's answers are read: the field ``reading`` of `CODE.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from ndino.languages.known.locales import decimal_of
from ndino.languages.known.tool_codes import known_code
from ndino.languages.language import Language, missing_field
from ndino.languages.tokens import Phrases, fold


@dataclass(frozen=True)
class ReadingWords:
    """A language's words for reading answers, as its file has them. What is missing there is empty here, and
    its rule does nothing.

    Attributes:
        numbers: num2words' code of the language; empty where it does not know the language.
        number_words: number words with their values, from the field of that name outside ``reading``.
        decimal: the mark before decimals, ``,`` or ``.``, CLDR's if the file has none; the other one groups
            thousands.
        articles: dropped where two short answers are compared, elided ones with their apostrophe.
        one: the articles that are also the number 1.
        minus: words before a negative number.
        scales: words that multiply the number before them.
        behind_scales: words between such a word and what is counted ("a million of euros").
        numbering: words before a number that add nothing to it ("no. 5").
        symbols: for each unit or currency the words that mean the same.
        clock: those of the units that a time of day may go without.
        presenting: what may stand before a short answer and adds nothing ("it is", "of the colour").
        yes: words that mean yes wherever they begin an answer.
        yes_alone: words that mean yes only alone or before punctuation, since they have other meanings.
        no: words that mean no where they begin an answer.
        denials: words that deny what follows them in a sentence.
        excluding: words and phrases that exclude the options named after them.
        affirming: phrases with a denial in them that deny nothing.
        breaks: words that begin a new clause, which a denial before them does not reach.
        reasons: words after an option that begin the reason for it.
        joining: words between options that are named together.
        either: those of them that offer another choice: an option with one behind it is not the only one.
        word_letters: letters that are words of the language.
        announcers: words that announce an option or an answer.
        copulas: forms of "to be" between an announcer and what it announces.
        leads: words that may stand between an announcer and an option.
        right: words that confirm an option after a copula.
        wrong: words and phrases that reject one.
        passives: what may stand between an option and one of these ("B must be excluded").
        correcting: what takes back the option before it where another one follows ("I mean").
    """

    numbers: str = ""
    number_words: Mapping[str, int] = field(default_factory=dict)
    decimal: str = "."
    articles: tuple[str, ...] = ()
    one: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    scales: Mapping[str, int] = field(default_factory=dict)
    behind_scales: tuple[str, ...] = ()
    numbering: tuple[str, ...] = ()
    symbols: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    clock: tuple[str, ...] = ()
    presenting: tuple[str, ...] = ()
    yes: tuple[str, ...] = ()
    yes_alone: tuple[str, ...] = ()
    no: tuple[str, ...] = ()
    denials: tuple[str, ...] = ()
    excluding: tuple[str, ...] = ()
    affirming: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    joining: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    word_letters: tuple[str, ...] = ()
    announcers: tuple[str, ...] = ()
    copulas: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    passives: tuple[str, ...] = ()
    correcting: tuple[str, ...] = ()

    @classmethod
    def of(cls, language: Language) -> ReadingWords:
        """The words of a language.

        Raises:
            LanguageError: its file lacks the field.
        """
        found = language.words.get("reading")
        if not found:
            raise missing_field(language.code, "reading")
        derived = {
            "numbers": known_code("num2words", language.code),
            "number_words": language.words.get("number_words"),
            "decimal": found.get("decimal") or decimal_of(language.code),
        }
        written = {**found, **derived}
        return cls(
            **{
                each.name: _frozen(written[each.name])
                for each in fields(cls)
                if written.get(each.name) is not None
            }
        )

    @cached_property
    def lead_phrases(self) -> Phrases:
        """All that may stand between the start of a sentence and an option."""
        return Phrases((*self.leads, *self.announcers, *self.copulas, *self.right, *self.affirming))

    @cached_property
    def announcing_phrases(self) -> Phrases:
        """Those of `lead_phrases` that announce by themselves."""
        return Phrases((*self.announcers, *self.copulas, *self.affirming))


def folded(words: Iterable[str]) -> frozenset[str]:
    """Words as `tokens.fold` writes them, for look-ups."""
    return frozenset(map(fold, words))


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _frozen(part) for key, part in value.items()}
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
