"""Reads a model's short answers: free text, yes or no, the letter of an option.

The paper compares strings literally. The readers here accept differences that do not change an answer's
meaning: quotes and accents, articles, numbers in words, a letter in brackets or in a sentence. None of them
raises, whatever the answer: one that cannot be read gives ``None`` (or no words) and counts as wrong. All
words of a language are in its file, `CODE.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache

from ndino.languages.language import Language, LanguageError, language
from ndino.languages.letters import LetterReader
from ndino.languages.reading_words import ReadingWords
from ndino.languages.short_answers import ShortAnswerReader
from ndino.languages.yes_no import YesNoReader


class AnswerReader:
    """Reads answers in one language.

    Raises:
        LanguageError: the language's file lacks a word that reading needs.
    """

    def __init__(self, language: Language) -> None:
        words = ReadingWords.of(language)
        try:
            self._short, self._yes_no = ShortAnswerReader(words), YesNoReader(words)
        except NotImplementedError as error:
            raise LanguageError(
                f"language {language.code!r}: codes: num2words does not know {words.numbers!r} "
                f'(remedy: num2words: "" in ndino/languages/{language.code}.yaml, and list number_words)'
            ) from error
        # The same few options are asked about again and again.
        self._only_yes_or_no = lru_cache(maxsize=4096)(self._yes_no.only_word)
        self._letters = LetterReader(words, self.means, self.only_yes_or_no)

    def same(self, one: str, other: str) -> bool:
        """Whether two short answers mean the same: `ShortAnswerReader.same`."""
        return self._short.same(one, other)

    def means(self, answer: str, target: str) -> bool:
        """Whether an answer means a short one; where that is yes or no, the answer's first word decides."""
        wanted = self.only_yes_or_no(target)
        return self.same(answer, target) if wanted is None else self.yes_or_no(answer) == wanted

    def contains(self, answer: str, target: str) -> bool:
        """Whether a longer answer contains a short one: `ShortAnswerReader.contains`."""
        return self._short.contains(answer, target)

    def yes_or_no(self, answer: str) -> bool | None:
        """Yes or no by the first word, None for neither: `YesNoReader.first_word`."""
        return self._yes_no.first_word(answer)

    def only_yes_or_no(self, text: str) -> bool | None:
        """True for a text that is the word yes and nothing else, False for no: `YesNoReader.only_word`."""
        return self._only_yes_or_no(text)

    def denies(self, answer: str) -> bool:
        """Whether the first sentence denies anything: `YesNoReader.denies`."""
        return self._yes_no.denies(answer)

    def letter(self, answer: str, letters: str, choices: Mapping[str, str] | None = None) -> str | None:
        """The option that an answer names, None if not exactly one: `LetterReader.read`."""
        return self._letters.read(answer, letters, choices)


@cache
def reader(code: str) -> AnswerReader:
    """Reads answers in the language with this code, such as ``it``.

    Raises:
        LanguageError: there is no file for it, or it lacks a word that reading needs.
    """
    return AnswerReader(language(code))
