"""Questions in groups that share their images, groups in batches, and batches for several processes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ndino.evaluation.inference.prefix_sharing import common_length, prefix_key

# Tokens that stand packed behind one image; as many as a large image has, so that reading them takes no
# more memory than reading the image.
PACKED_TOKENS = 2048


class PromptImage(NamedTuple):
    """An image's content and size (height, width), and the number of tokens that it becomes."""

    digest: str
    size: tuple[int, int]
    tokens: int


@dataclass(frozen=True)
class Question:
    """One request: where its document is, and what is asked.

    ``key`` is equal for equal questions whose answer is; ``ids`` is the whole prompt, with a single token for
    each image; ``settings`` are lmms-eval's ``generation_kwargs``.
    """

    key: str
    task: str
    split: str
    doc_id: int
    ids: tuple[int, ...]
    images: tuple[PromptImage, ...]
    settings: dict[str, Any]

    @property
    def length(self) -> int:
        """Tokens of the prompt, image features counted."""
        return len(self.ids) + sum(image.tokens - 1 for image in self.images)


@dataclass(frozen=True)
class Group:
    """Questions with the same images at the same place of their beginning, and the same settings."""

    questions: tuple[Question, ...]

    @property
    def settings(self) -> dict[str, Any]:
        return self.questions[0].settings

    @property
    def shared(self) -> int:
        """Tokens of the common beginning, image features counted."""
        first = self.questions[0]
        return first.length - len(first.ids) + common_length([question.ids for question in self.questions])

    @property
    def tokens(self) -> int:
        """Tokens to be read for all of them."""
        return self.shared + sum(question.length - self.shared for question in self.questions)


def groups_of(questions: Iterable[Question], image_token: int) -> list[Group]:
    """Group questions; one without images, or with a text before them that differs, stays alone."""
    alike: dict[Any, list[Question]] = defaultdict(list)
    for place, question in enumerate(questions):
        key = prefix_key(question.ids, [image.digest for image in question.images], image_token)
        settings = json.dumps(question.settings, sort_keys=True, default=str)
        alike[settings, place if key is None else key].append(question)
    return [group for members in alike.values() for group in _of_bearable_size(members)]


def _of_bearable_size(members: Sequence[Question]) -> list[Group]:
    whole = Group(tuple(members))
    parts = -(-(whole.tokens - whole.shared) // PACKED_TOKENS)
    size = -(-len(members) // max(1, parts))
    return [Group(tuple(members[start : start + size])) for start in range(0, len(members), size)]


def batches_of(groups: Iterable[Group], size: int) -> list[list[Group]]:
    """Batches of groups with equal settings: ``size`` questions each, or one group that has more.

    Groups of like size and length go together, as what one lacks of the others is padding; the largest come
    first, so that memory runs out at once or never.
    """
    by_settings: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
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
    """Groups for each of several processes, none torn apart; each gets about as many tokens to read.

    Every process that calls it with the same groups gets the same answer.
    """
    shares: list[list[Group]] = [[] for _ in range(workers)]
    load = [0] * workers
    for group in sorted(groups, key=lambda group: (-group.tokens, group.questions[0].key)):
        least = load.index(min(load))
        shares[least].append(group)
        load[least] += group.tokens
    return shares
