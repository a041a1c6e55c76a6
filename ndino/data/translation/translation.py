"""Texts in, translations out: the memory is asked first, distinct texts are translated once and checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from ndino.data.translation.guards import Guards, sentences
from ndino.data.translation.memory import Memory
from ndino.data.translation.translator import SecondTry, Translated, Translator

# What no line of text should hold: control characters (line breaks in a model's output among them) and halves
# of surrogate pairs, which neither UTF-8 nor SQLite can store.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]+")


class Translation:
    """A translator with its memory and its guards.

    Args:
        translator: whatever has an ``identity`` and ``translate``.
        memory: the file of the memory, made where it is missing.
        guards: the checks of a translation, with what they know of the target language.
        batch_characters: a batch is filled up to so many characters and then stored; a killed run loses at
            most one.

    ``counts`` says what was done with distinct texts: ``from memory``, ``translated``, ``retried``,
    ``rejected`` (of those translated), and ``given``: all texts.

    Raises DataError where the memory is damaged or in use.
    """

    def __init__(
        self, translator: Translator, memory: Path, guards: Guards, *, batch_characters: int = 20_000
    ) -> None:
        self.identity = identity_of(translator, guards)
        self.counts: Counter[str] = Counter()
        self._translator = translator
        self._guards = guards
        self._batch_characters = batch_characters
        self._memory = Memory(memory)

    def __enter__(self) -> Translation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory's file free."""
        self._memory.close()

    def translate(self, texts: Sequence[str]) -> list[Translated]:
        """One result a text, in order.

        White space around a text stays as it is, and so does a text without a single letter: there is
        nothing to translate. Raises ValueError for a text with a line break, and what the translator raises.
        """
        if broken := next((text for text in texts if "\n" in text), None):
            raise ValueError(f"a text to translate holds a line break: {broken[:80]!r}")
        cores = [UNPRINTABLE.sub(" ", text).strip() for text in texts]
        # A dictionary and no set: the order of first appearance is the same in every process.
        wanted = list(dict.fromkeys(filter(_has_letters, cores)))
        known = self._memory.look_up(self.identity, wanted)
        self.counts.update({"given": len(texts), "from memory": len(known)})
        self._translate_missing([core for core in wanted if core not in known], known)
        return [_with_margins(text, core, known.get(core)) for text, core in zip(texts, cores, strict=True)]

    def _translate_missing(self, missing: list[str], known: dict[str, Translated]) -> None:
        # Longest first: what does not fit into a GPU shows at once, and the last batch is short.
        missing.sort(key=lambda text: (-len(text), text))
        with tqdm(total=len(missing), desc="translating", unit=" texts", leave=False, delay=5) as progress:
            for batch in _batches(missing, self._batch_characters):
                found = self._checked(batch)
                self._memory.remember(self.identity, found)
                known.update(found)
                progress.update(len(batch))

    def _checked(self, batch: list[str]) -> dict[str, Translated]:
        found = self._judged(batch, self._translator.translate(batch))
        refused = [source for source, one in found.items() if one.reason]
        again = self._again(refused)
        # The first refusal's reason stands where the second try is refused too: it is the commoner one.
        found.update((source, one) for source, one in again.items() if one.text is not None)
        self.counts.update(
            {
                "translated": len(batch),
                "retried": len(again),
                "rejected": sum(one.reason is not None for one in found.values()),
            }
        )
        return found

    def _judged(self, sources: Sequence[str], targets: Sequence[str]) -> dict[str, Translated]:
        judged = {}
        for source, target in zip(sources, targets, strict=True):
            target = UNPRINTABLE.sub(" ", target).strip()
            reason = self._guards.fault(source, target)
            judged[source] = Translated(None, reason) if reason else Translated(target)
        return judged

    def _again(self, refused: Sequence[str]) -> dict[str, Translated]:
        """The second try, sentence by sentence: a model that loops or leaves out does so in long texts.

        A translator with a way of its own for refused texts takes it; for one without, a text of one
        sentence would come out as before and is left alone.
        """
        own_way = isinstance(self._translator, SecondTry)
        pieces = {text: sentences(text) for text in refused}
        pieces = {text: parts for text, parts in pieces.items() if own_way or len(parts) > 1}
        flat = [part.rstrip() for parts in pieces.values() for part in parts if _has_letters(part)]
        if not flat:
            return {}
        again = self._translator.translate_again if own_way else self._translator.translate
        done = iter(again(flat))
        joined = [
            "".join(
                next(done).strip() + part[len(part.rstrip()) :] if _has_letters(part) else part
                for part in parts
            )
            for parts in pieces.values()
        ]
        return self._judged(list(pieces), joined)


def identity_of(translator: Translator, guards: Guards) -> str:
    """What a translation depends on: the translator and what its work was held against."""
    return f"{translator.identity}; {guards.identity}"


def _has_letters(text: str) -> bool:
    return any(character.isalpha() for character in text)


def _batches(texts: Sequence[str], characters: int) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for text in texts:
        if batch and held + len(text) > characters:
            yield batch
            batch, held = [], 0
        batch.append(text)
        held += len(text)
    if batch:
        yield batch


def _with_margins(text: str, core: str, translated: Translated | None) -> Translated:
    if translated is None:
        return Translated(text)
    if translated.text is None:
        return translated
    text = UNPRINTABLE.sub(" ", text)
    start = text.index(core)
    return Translated(text[:start] + translated.text + text[start + len(core) :])
