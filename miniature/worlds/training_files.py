"""What the training files say about the scenes of the drawn world."""

from __future__ import annotations

import random
from pathlib import Path

from miniature.worlds import questions
from miniature.worlds.scenes import Scene
from miniature.worlds.stages import Described, save_image, short_answers, write_stages

# Questions about each scene of the instruction stage, by kind; the learnable kinds come most often.
ASKED = {"colour": 2, "count": 1, "presence": 2, "place": 1, "fruit": 0.25, "choice": 0.25}


def write_training_files(folder: Path, scenes: list[Scene], *, seed: int) -> None:
    """Write ``mlp``, ``pt``, ``it``, ``long`` and ``mix.jsonl`` and ``images/`` to ``folder``.

    Every stage sees all training scenes; the images are drawn once.
    """
    rng = random.Random(f"{seed} training images")
    described = [
        Described(
            save_image(folder / "images", f"scene-{index:05d}", scene.draw(rng)),
            scene.caption_english(),
            scene.caption(),
            scene.description(),
        )
        for index, scene in enumerate(scenes)
    ]
    asking = random.Random(f"{seed} questions")
    ask = {
        "colour": lambda scene: questions.colour(scene, asking),
        "count": lambda scene: questions.count(scene, asking),
        "place": lambda scene: questions.place(scene, asking),
        "presence": lambda scene: questions.presence(scene, asking.randrange(len(questions.SHAPES))),
        "fruit": lambda scene: questions.fruit(scene, asking),
        "choice": lambda scene: questions.choice(scene, asking),
    }
    subjects = [(each.image, scene) for each, scene in zip(described, scenes, strict=True)]
    write_stages(folder, described, short_answers(subjects, ask, ASKED, asking), rng)
