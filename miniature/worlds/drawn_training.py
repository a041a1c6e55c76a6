"""Write the drawn world's training files: images, captions and questions of its training scenes."""

from __future__ import annotations

import random
from pathlib import Path

from miniature.worlds import scene_questions
from miniature.worlds.scenes import Scene
from miniature.worlds.training_files import DescribedImage, save_image, short_answers, write_training_files
from ndino.languages.lexicon import SHAPES, lexicon

# Questions per scene in the instruction stage, by kind; kinds that a tiny model can learn are more frequent.
QUESTIONS_PER_SCENE = {"colour": 2, "count": 1, "presence": 2, "place": 1, "fruit": 0.25, "choice": 0.25}


def write_drawn_training(folder: Path, scenes: list[Scene], *, lang: str, seed: int) -> None:
    """Write ``mlp``, ``pt``, ``it``, ``long`` and ``mix.jsonl`` and ``images/`` to ``folder``.

    The texts are in the language ``lang``, those of ``mlp`` in English. Every stage uses all training scenes;
    each image is drawn once.
    """
    words, english = lexicon(lang), lexicon("en")
    rng = random.Random(f"{seed} training images")
    described = [
        DescribedImage(
            save_image(folder / "images", f"scene-{index:05d}", scene.draw(rng)),
            scene.caption(english),
            scene.caption(words),
            scene.description(words),
        )
        for index, scene in enumerate(scenes)
    ]
    asking = random.Random(f"{seed} questions")
    ask = {
        "colour": lambda scene: scene_questions.colour(scene, words, asking),
        "count": lambda scene: scene_questions.count(scene, words),
        "place": lambda scene: scene_questions.place(scene, words, asking),
        "presence": lambda scene: scene_questions.presence(scene, words, asking.randrange(len(SHAPES))),
        "fruit": lambda scene: scene_questions.fruit(scene, words, asking),
        "choice": lambda scene: scene_questions.choice(scene, words, asking),
    }
    subjects = [(each.image, scene) for each, scene in zip(described, scenes, strict=True)]
    short = short_answers(subjects, ask, QUESTIONS_PER_SCENE, words, asking)
    write_training_files(folder, described, short, words, rng)
