"""Translate texts: look them up in the memory, translate each distinct new text once, and check it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from ndino.data.translation.memory import TranslationMemory
from ndino.data.translation.placeholders import has_words
from ndino.data.translation.quality.scorer import QualityScorer
from ndino.data.translation.rejection import BROKEN_OFF, EMPTY, TextChecks
from ndino.data.translation.text_measures import sentences
from ndino.data.translation.translator import RetryingTranslator, Translated, Translator

# What no line of text may hold: control characters (among them line breaks in a model's output), and lone
# surrogates, which neither UTF-8 nor SQLite can store.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]+")

# Rejections that say nothing of the text: another start may translate it.
NO_TRANSLATION = (BROKEN_OFF, EMPTY)


class Translation:
    """A translator with its memory and its checks.

    Args:
        memory: the file of the memory, created if it does not exist.
        checks: decide which translations are rejected.
        batch_characters: size of a batch. The memory is written after each batch, so a killed run loses at
            most one.
        scorer: scores what passes the checks; the memory keeps the scores too.
        retry: drop from the memory what was rejected as `NO_TRANSLATION`, so that it is translated again.

    Attributes:
        identity: what the translations depend on, the key of the memory.
        checks: decide which translations are rejected.
        counts: ``given`` counts all texts; ``from memory``, ``translated``, ``retried`` and ``rejected`` (of
            those translated) count distinct ones.

    Raises:
        DataError: the memory is damaged or in use.
    """

    def __init__(
        self,
        translator: Translator,
        memory: Path,
        checks: TextChecks,
        *,
        batch_characters: int = 20_000,
        scorer: QualityScorer | None = None,
        retry: bool = False,
    ) -> None:
        self.identity = identity_of(translator, checks)
        self.counts: Counter[str] = Counter()
        self._translator = translator
        self.checks = checks
        self._batch_characters = batch_characters
        self._scorer = scorer
        self._memory = TranslationMemory(memory)
        if retry:
            self._memory.forget_rejected(self.identity, NO_TRANSLATION)

    def __enter__(self) -> Translation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the memory's file."""
        self._memory.close()

    def translate(self, texts: Sequence[str]) -> list[Translated]:
        """One result per text, in order.

        White space around a text is kept, and a text without a word is returned as it is.

        Raises:
            ValueError: a text holds a line break.
            Exception: whatever the translator raises.
        """
        if broken := next((text for text in texts if "\n" in text), None):
            raise ValueError(f"a text to translate holds a line break: {broken[:80]!r}")
        cores = [UNPRINTABLE.sub(" ", text).strip() for text in texts]
        # A dictionary, not a set: its order, that of first appearance, is the same in every process.
        wanted = list(dict.fromkeys(filter(has_words, cores)))
        known = self._memory.look_up(self.identity, wanted)
        self.counts.update({"given": len(texts), "from memory": len(known)})
        self._translate_missing([core for core in wanted if core not in known], known)
        if self._scorer is not None:
            self._add_scores(self._scorer, known)
        return [_with_margins(text, core, known.get(core)) for text, core in zip(texts, cores, strict=True)]

    def _translate_missing(self, missing: list[str], known: dict[str, Translated]) -> None:
        # Longest first: a text that does not fit on the GPU fails at once, and the last batch is short.
        missing.sort(key=lambda text: (-len(text), text))
        with tqdm(total=len(missing), desc="translating", unit=" texts", leave=False, delay=5) as progress:
            for batch in _batches(missing, self._batch_characters):
                found = self._checked(batch)
                self._memory.remember(self.identity, found)
                known.update(found)
                progress.update(len(batch))

    def _add_scores(self, scorer: QualityScorer, known: dict[str, Translated]) -> None:
        there = {source: one.text for source, one in known.items() if one.text is not None}
        scores = self._memory.scores(scorer.identity, there)
        missing = sorted(there.keys() - scores.keys(), key=lambda text: (-len(text), text))
        with tqdm(total=len(missing), desc="scoring", unit=" texts", leave=False, delay=5) as progress:
            for batch in _batches(missing, self._batch_characters):
                made = scorer.score(batch, [there[source] for source in batch])
                found = dict(zip(batch, made, strict=True))
                self._memory.remember_scores(scorer.identity, there, found)
                scores.update(found)
                progress.update(len(batch))
        known.update((source, replace(known[source], quality=score)) for source, score in scores.items())

    def _checked(self, batch: list[str]) -> dict[str, Translated]:
        found = self._verdicts(batch, self._translator.translate(batch))
        rejected = [source for source, one in found.items() if one.reason]
        again = self._retried(rejected)
        # A text that is rejected twice keeps the first reason: it says what the translator usually does
        # wrong.
        found.update((source, one) for source, one in again.items() if one.text is not None)
        self.counts.update(
            {
                "translated": len(batch),
                "retried": len(again),
                "rejected": sum(one.reason is not None for one in found.values()),
            }
        )
        return found

    def _verdicts(self, sources: Sequence[str], targets: Sequence[str | None]) -> dict[str, Translated]:
        verdicts = {}
        for source, target in zip(sources, targets, strict=True):
            target = None if target is None else UNPRINTABLE.sub(" ", target).strip()
            reason = self.checks.rejection(source, target)
            verdicts[source] = Translated(None, reason) if reason else Translated(target)
        return verdicts

    def _retried(self, rejected: Sequence[str]) -> dict[str, Translated]:
        """Rejected texts translated again sentence by sentence: models loop or omit in long texts.

        With a `RetryingTranslator`, its ``translate_again`` is used. Any other translator would give a text
        of one sentence the same translation as before, so such texts are not retried.
        """
        translator = self._translator
        own_way = isinstance(translator, RetryingTranslator)
        pieces = {text: sentences(text) for text in rejected}
        pieces = {text: parts for text, parts in pieces.items() if own_way or len(parts) > 1}
        flat = [part.rstrip() for parts in pieces.values() for part in parts if has_words(part)]
        if not flat:
            return {}
        retry = translator.translate_again if own_way else translator.translate
        done = iter(retry(flat))
        joined = [
            _joined([(part, next(done) if has_words(part) else part) for part in parts])
            for parts in pieces.values()
        ]
        return self._verdicts(list(pieces), joined)


def identity_of(translator: Translator, checks: TextChecks) -> str:
    """What a verdict on a text depends on: the translator and the checks."""
    return f"{translator.identity}; {checks.identity}"


def _joined(parts: Sequence[tuple[str, str | None]]) -> str | None:
    """Sentences and their translations as one text, with the white space of the sources."""
    if any(there is None for _, there in parts):
        return None
    return "".join((there or "").strip() + part[len(part.rstrip()) :] for part, there in parts)


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
        # Nothing to translate. A row's text must be printable all the same, if there is any.
        return Translated(UNPRINTABLE.sub(" ", text) if any(map(str.isalpha, text)) else text)
    if translated.text is None:
        return translated
    text = UNPRINTABLE.sub(" ", text)
    start = text.index(core)
    whole = text[:start] + translated.text + text[start + len(core) :]
    return replace(translated, text=whole)
