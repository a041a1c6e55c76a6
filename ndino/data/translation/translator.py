"""The interface of a translator, and the result for one text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Translator(Protocol):
    """Anything that translates lines of text from one language to another."""

    identity: str
    """Name, fingerprint of the model, languages and settings: equal identities mean equal translations."""

    def translate(self, texts: Sequence[str]) -> Sequence[str | None]:
        """One translation per text, in order; every text has a letter and no line break.

        None where the translation did not come to its end.
        """
        ...


@runtime_checkable
class RetryingTranslator(Protocol):
    """A translator with different settings for texts whose first translation was rejected."""

    def translate_again(self, texts: Sequence[str]) -> Sequence[str | None]:
        """As ``translate``, with those settings."""
        ...


@dataclass(frozen=True)
class Draft:
    """What a model wrote; ``ended`` is whether it ended by itself, and not at the limit on its length."""

    text: str
    ended: bool

    @property
    def whole(self) -> str | None:
        """The text, or None if the limit cut it off."""
        return self.text if self.ended else None


@dataclass(frozen=True)
class Translated:
    """A translation, or the reason for which it was rejected: exactly one of them is None.

    ``quality`` is a scorer's score of the translation, where one was asked.
    """

    text: str | None = None
    reason: str | None = None
    quality: float | None = None

    def __post_init__(self) -> None:
        if (self.text is None) == (self.reason is None):
            raise ValueError("Translated takes either a text or a reason")
