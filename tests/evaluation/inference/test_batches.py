from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ndino.evaluation.inference import batches
from ndino.evaluation.inference.batches import PromptedQuestion, PromptImage, batches_of, groups_of, share_out
from ndino.evaluation.inference.prefix_sharing import common_length

IMAGE = 0
texts = st.lists(st.integers(1, 3), min_size=1, max_size=6)


@st.composite
def questions(draw) -> list[PromptedQuestion]:
    made = []
    for number in range(draw(st.integers(1, 30))):
        shown = draw(st.lists(st.integers(0, 2), max_size=2))
        ids = [*draw(st.sampled_from([[1], [1], [2]])), *[IMAGE] * len(shown), *draw(texts)]
        shown = tuple(PromptImage(str(image), (8, 8), 5 + image) for image in shown)
        settings = {"max_new_tokens": draw(st.sampled_from([4, 4, 8]))}
        made.append(PromptedQuestion(f"key {number}", "task", "test", number, tuple(ids), shown, settings))
    return made


@given(questions(), st.integers(1, 8), st.integers(1, 5))
def test_every_question_is_in_one_batch_of_one_process(asked, size, workers):
    groups = groups_of(asked, IMAGE)
    shares = share_out(groups, workers)
    made = [batches_of(share, size) for share in shares]
    found = [q.key for share in made for batch in share for group in batch for q in group.questions]
    assert sorted(found) == sorted(question.key for question in asked)
    for batch in (batch for share in made for batch in share):
        assert sum(len(group.questions) for group in batch) <= size or len(batch) == 1
        assert len({json.dumps(group.settings) for group in batch}) == 1


@given(questions())
def test_a_group_has_its_images_in_its_common_beginning(asked):
    groups = groups_of(asked, IMAGE)
    for group in groups:
        first, *others = group.questions
        common = common_length([question.ids for question in group.questions])
        assert first.ids[:common].count(IMAGE) == len(first.images)
        assert all(other.images == first.images and other.settings == first.settings for other in others)
        assert first.images or not others
    shown = [group.questions[0] for group in groups if group.questions[0].images]
    assert len({(q.images, q.ids[0], str(q.settings)) for q in shown}) == len(shown)


def question(number: int, image: str, words: int = 3) -> PromptedQuestion:
    ids = (1, IMAGE, *[2] * (words - 1), number + 3)
    return PromptedQuestion(
        f"{number:03}", "task", "test", number, ids, (PromptImage(image, (8, 8), 100),), {}
    )


def test_lengths_count_what_images_become():
    (group,) = groups_of([question(0, "a"), question(1, "a", words=5)], IMAGE)
    assert [q.length for q in group.questions] == [104, 106]
    assert (group.shared, group.tokens) == (103, 103 + 1 + 3)


def test_a_group_is_split_evenly_when_it_is_too_long(monkeypatch):
    monkeypatch.setattr(batches, "PACKED_TOKENS", 10)
    groups = groups_of([question(i, "a", words=2) for i in range(12)], IMAGE)
    assert [len(group.questions) for group in groups] == [6, 6]


def test_processes_get_like_loads_and_whole_groups():
    asked = [question(i, f"{i % 10}") for i in range(40)]
    shares = share_out(groups_of(asked, IMAGE), 4)
    assert sorted(sum(len(g.questions) for g in share) for share in shares) == [8, 8, 12, 12]
    assert all(len(group.questions) == 4 for share in shares for group in share)
    again = share_out(groups_of(asked[::-1], IMAGE), 4)
    sizes = [[len(group.questions) for group in share] for share in again]
    assert sizes == [[len(group.questions) for group in share] for share in shares]


def test_large_groups_come_first_and_small_ones_together():
    asked = [question(i, "many") for i in range(6)] + [question(6 + i, f"{i}") for i in range(5)]
    made = batches_of(groups_of(asked, IMAGE), 4)
    assert [[len(group.questions) for group in batch] for batch in made] == [[6], [1, 1, 1, 1], [1]]
