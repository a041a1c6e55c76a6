"""What the benchmarks ask about the scenes of the drawn world."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from miniature.worlds import questions
from miniature.worlds.exam import CATEGORIES, Exam, write_exam
from miniature.worlds.scenes import Scene


def write_benchmarks(folder: Path, scenes: list[Scene], *, seed: int) -> None:
    """Write the six benchmarks, the long set and the captions of ``scenes`` to ``folder``."""
    rng = random.Random(f"{seed} test images")
    images = [scene.draw(rng) for scene in scenes]
    gqa = [
        (index, question)
        for index, scene in enumerate(scenes)
        for question in (questions.colour(scene, rng), questions.place(scene, rng))
        if question and (question.kind == "colour" or index % 3 == 0)
    ]
    ok_vqa = [
        (index, question)
        for index, scene in enumerate(scenes)
        for question in (questions.count(scene, rng), questions.fruit(scene, rng) if index % 3 == 0 else None)
        if question
    ]
    exam = Exam(
        images,
        [scene.caption() for scene in scenes],
        [scene.description() for scene in scenes],
        gqa,
        ok_vqa,
        pope=list(_presence(scenes, rng)),
        seed_bench=[(index, questions.choice(scenes[index], rng)) for index in range(0, len(scenes), 2)],
    )
    write_exam(folder, exam, rng)


def _presence(scenes: list[Scene], rng: random.Random) -> Iterator[tuple[int, questions.Question, str]]:
    for index, scene in enumerate(scenes):
        category = CATEGORIES[index % len(CATEGORIES)]
        absent = questions.absent_shape(scene, category, rng)
        # As in POPE, half of the questions are about what is there; a scene with every shape has no other
        # half.
        if absent is None:
            continue
        for shape in (rng.choice(scene.shapes), absent):
            yield index, questions.presence(scene, shape), category
