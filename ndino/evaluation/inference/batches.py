"""Groups questions that share a prefix, fills batches with groups, and divides groups among processes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ndino.evaluation.inference.prefix_sharing import common_length, prefix_key

# Suffix tokens packed behind one prefix: about as many as a large image has, so that reading them takes no
# more memory than reading the image.
PACKED_TOKENS = 2048


class PromptImage(NamedTuple):
    """An image's digest, its size (height, width), and the number of tokens that it becomes."""

    digest: str
    size: tuple[int, int]
    tokens: int


@dataclass(frozen=True)
class PromptedQuestion:
    """One request of lmms-eval as token ids.

    Attributes:
        key: of its answer; questions with equal keys have equal answers.
        task, split, doc_id: where its document is.
        ids: the whole prompt, with one token for each image.
        settings: lmms-eval's ``generation_kwargs``.
        letters: those among which it chooses, each with its ids behind the prompt; empty where an answer is
            generated.
    """

    key: str
    task: str
    split: str
    doc_id: int
    ids: tuple[int, ...]
    images: tuple[PromptImage, ...]
    settings: dict[str, Any]
    letters: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def length(self) -> int:
        """Tokens of the prompt, image features counted."""
        return len(self.ids) + sum(image.tokens - 1 for image in self.images)


@dataclass(frozen=True)
class Group:
    """Questions that share a prefix and have equal settings; see `prefix_sharing.py`."""

    questions: tuple[PromptedQuestion, ...]

    @property
    def settings(self) -> dict[str, Any]:
        return self.questions[0].settings

    @property
    def shared(self) -> int:
        """Tokens of the shared prefix, image features counted."""
        first = self.questions[0]
        return first.length - len(first.ids) + common_length([question.ids for question in self.questions])

    @property
    def tokens(self) -> int:
        """Tokens that the model reads for all of them."""
        return self.shared + sum(question.length - self.shared for question in self.questions)


def groups_of(questions: Iterable[PromptedQuestion], image_token: int) -> list[Group]:
    """Group questions that share a prefix; a question that shares none is a group of its own."""
    alike: dict[Any, list[PromptedQuestion]] = defaultdict(list)
    for place, question in enumerate(questions):
        key = prefix_key(question.ids, [image.digest for image in question.images], image_token)
        settings = json.dumps(question.settings, sort_keys=True, default=str)
        alike[settings, place if key is None else key].append(question)
    return [group for members in alike.values() for group in _split_to_fit(members)]


def _split_to_fit(members: Sequence[PromptedQuestion]) -> list[Group]:
    whole = Group(tuple(members))
    parts = -(-(whole.tokens - whole.shared) // PACKED_TOKENS)
    size = -(-len(members) // max(1, parts))
    return _parts(whole, size)


def _parts(group: Group, size: int) -> list[Group]:
    starts = range(0, len(group.questions), size)
    return [Group(group.questions[start : start + size]) for start in starts]


def batches_of(groups: Iterable[Group], size: int, *, divide: bool = False) -> list[list[Group]]:
    """Batches of groups with equal settings, of ``size`` questions at most, or one group that has more.

    With ``divide`` no batch has more: larger groups are divided, and each part reads the prefix again.

    Groups of similar size and length are batched together, since differences become padding. The largest
    come first, so that a run out of memory fails at once.
    """
    by_settings: dict[str, list[Group]] = defaultdict(list)
    parts = [part for group in groups for part in _parts(group, size)] if divide else groups
    for group in parts:
        by_settings[json.dumps(group.settings, sort_keys=True, default=str)].append(group)
    batches: list[list[Group]] = []
    for alike in by_settings.values():
        alike.sort(key=lambda group: (-len(group.questions), -group.tokens))
        filled = size
        for group in alike:
            if filled + len(group.questions) > size:
                batches.append([])
                filled = 0
            batches[-1].append(group)
            filled += len(group.questions)
    return batches


def share_out(groups: Sequence[Group], workers: int) -> list[list[Group]]:
    """Divide whole groups among processes, with about as many tokens to read for each.

    Every process that calls it with the same groups gets the same division.
    """
    shares: list[list[Group]] = [[] for _ in range(workers)]
    load = [0] * workers
    for group in sorted(groups, key=lambda group: (-group.tokens, group.questions[0].key)):
        least = load.index(min(load))
        shares[least].append(group)
        load[least] += group.tokens
    return shares
