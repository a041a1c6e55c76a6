"""Translate texts: look them up in the memory, translate each distinct new text once, and check it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from ndino.data.translation.memory import Attempts, TranslationMemory
from ndino.data.translation.placeholders import has_words
from ndino.data.translation.quality.scorer import QualityScorer
from ndino.data.translation.rejection import BROKEN_OFF, EMPTY, TextChecks
from ndino.data.translation.text_measures import sentences
from ndino.data.translation.translator import RetryingTranslator, Translated, Translator

# What no line of text may hold: control characters (among them line breaks in a model's output), and lone
# surrogates, which neither UTF-8 nor SQLite can store.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]+")
# Those of a translation that are no space or line break stand for characters that were lost.
LOST = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\ud800-\udfff]+")

JUDGED = 50_000  # verdicts that are kept, of the texts that came last

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
        retry: translate again what was rejected as `NO_TRANSLATION`, and give a second try to what only these
            checks reject.

    Attributes:
        identity: what the verdicts depend on. The memory's key is the translator's alone.
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
        # Many texts come again and again, such as a data set's instructions.
        self._judged = lru_cache(maxsize=JUDGED)(self._judge)
        self._retry = retry
        self._tried: set[str] = set()

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
        attempts = self._memory.look_up(self._translator.identity, wanted)
        known = {source: self._judged(source, one) for source, one in attempts.items()}
        if self._retry:
            self._retry_rejected(attempts, known)
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
                known.update(self._translated(batch))
                progress.update(len(batch))

    def _retry_rejected(self, attempts: dict[str, Attempts], known: dict[str, Translated]) -> None:
        """Drop from ``known`` what has no translation, and retry what was accepted when it was made."""
        for source, one in list(known.items()):
            if one.reason in NO_TRANSLATION and source not in self._tried:
                del known[source]
        rejected = [source for source, one in known.items() if one.reason and not attempts[source].retried]
        for batch in _batches(sorted(rejected), self._batch_characters):
            again = self._retried(batch, attempts)
            self._memory.remember(self._translator.identity, again)
            self.counts["retried"] += len(again)
            known.update((source, self._judged(source, one)) for source, one in again.items())

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

    def _translated(self, batch: list[str]) -> dict[str, Translated]:
        """Translate texts, those that are rejected a second time, and remember both."""
        firsts = map(_one_line, self._translator.translate(batch))
        attempts = {source: Attempts(first) for source, first in zip(batch, firsts, strict=True)}
        found = {source: self._judged(source, one) for source, one in attempts.items()}
        again = self._retried([source for source, one in found.items() if one.reason], attempts)
        attempts |= again
        self._memory.remember(self._translator.identity, attempts)
        self._tried.update(batch)
        found |= {source: self._judged(source, one) for source, one in again.items()}
        self.counts.update(
            {
                "translated": len(batch),
                "retried": len(again),
                "rejected": sum(one.reason is not None for one in found.values()),
            }
        )
        return found

    def _judge(self, source: str, attempts: Attempts) -> Translated:
        reason = self.checks.rejection(source, attempts.first)
        if reason is None and attempts.first is not None:
            return Translated(attempts.first)
        if attempts.again is not None and self.checks.rejection(source, attempts.again) is None:
            return Translated(attempts.again)
        # The first reason: it says what the translator usually does wrong.
        return Translated(None, reason or BROKEN_OFF)

    def _retried(self, rejected: Sequence[str], attempts: Mapping[str, Attempts]) -> dict[str, Attempts]:
        """Rejected texts translated again sentence by sentence: models loop or omit in long texts.

        The first attempts at them, ``attempts``, are part of the result.

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
        return {
            text: Attempts(attempts[text].first, _one_line(again), True)
            for text, again in zip(pieces, joined, strict=True)
        }


def identity_of(translator: Translator, checks: TextChecks) -> str:
    """What a verdict on a text depends on: the translator and the checks."""
    return f"{translator.identity}; {checks.identity}"


def _one_line(translation: str | None) -> str | None:
    """A translation as one line, in which lost characters are marked as such; None for one that broke off."""
    if translation is None:
        return None
    return UNPRINTABLE.sub(" ", LOST.sub("\ufffd", translation)).strip()


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
