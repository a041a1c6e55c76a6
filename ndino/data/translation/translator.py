"""What a translator is, and what comes of one text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Translator(Protocol):
    """Anything that translates lines of text from one language to another."""

    identity: str
    """Name, fingerprint of the model, languages, settings: equal identities, equal translations."""

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translations of ``texts``, as many and in the same order; a text has letters and no line break."""
        ...


@runtime_checkable
class SecondTry(Protocol):
    """A translator that has another way for texts whose first translation a guard refused."""

    def translate_again(self, texts: Sequence[str]) -> list[str]:
        """As ``translate``, in the other way."""
        ...


@dataclass(frozen=True)
class Translated:
    """A translation, or the reason why there is none: exactly one of them is None."""

    text: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.text is None) == (self.reason is None):
            raise ValueError("a translated text has either a text or a reason")
