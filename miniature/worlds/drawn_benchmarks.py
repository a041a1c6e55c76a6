"""Write the drawn world's benchmarks: images and questions of its test scenes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from miniature.worlds import scene_questions
from miniature.worlds.benchmark_files import CATEGORIES, BenchmarkContent, write_benchmark_files
from miniature.worlds.choice_benchmarks import write_choice_benchmarks
from miniature.worlds.questions import WorldQuestion
from miniature.worlds.scenes import Scene
from ndino.languages.lexicon import Lexicon, lexicon


def write_drawn_benchmarks(folder: Path, scenes: list[Scene], *, lang: str, seed: int) -> None:
    """Write the six benchmarks, the set of long answers and the captions of ``scenes`` to ``folder``.

    Samples of the further benchmarks stand beside them. The texts are in the language ``lang``.
    """
    words = lexicon(lang)
    rng = random.Random(f"{seed} test images")
    images = [scene.draw(rng) for scene in scenes]
    gqa = [
        (index, question)
        for index, scene in enumerate(scenes)
        for question in (scene_questions.colour(scene, words, rng), scene_questions.place(scene, words, rng))
        if question and (question.kind == "colour" or index % 3 == 0)
    ]
    ok_vqa = [
        (index, question)
        for index, scene in enumerate(scenes)
        for question in (
            scene_questions.count(scene, words),
            scene_questions.fruit(scene, words, rng) if index % 3 == 0 else None,
        )
        if question
    ]
    content = BenchmarkContent(
        images,
        [scene.caption(words) for scene in scenes],
        [scene.description(words) for scene in scenes],
        gqa,
        ok_vqa,
        pope=list(_presence(scenes, words, rng)),
        seed_bench=[
            (index, scene_questions.choice(scenes[index], words, rng)) for index in range(0, len(scenes), 2)
        ],
    )
    write_benchmark_files(folder, content, words, rng)
    write_choice_benchmarks(folder, scenes, images, words, seed)


def _presence(
    scenes: list[Scene], words: Lexicon, rng: random.Random
) -> Iterator[tuple[int, WorldQuestion, str]]:
    for index, scene in enumerate(scenes):
        category = CATEGORIES[index % len(CATEGORIES)]
        absent = scene_questions.absent_shape(scene, category, rng)
        # As in POPE, half of the questions are about shapes that are there and half about absent ones. A
        # scene with every shape has no absent one, so it is skipped to keep the halves equal.
        if absent is None:
            continue
        for shape in (rng.choice(scene.shape_indices), absent):
            yield index, scene_questions.presence(scene, words, shape), category
