"""Build the drawn world: scenes of coloured shapes, signs and exam sheets, generated from a seed."""

from __future__ import annotations

import random
from pathlib import Path

from miniature.worlds.drawn_benchmarks import write_drawn_benchmarks
from miniature.worlds.drawn_training import write_drawn_training
from miniature.worlds.scenes import distinct_scenes

TRAINING_SCENES, TEST_SCENES = 3600, 300
FAST_TRAINING_SCENES, FAST_TEST_SCENES = 200, 24


def prepare(folder: Path, *, lang: str, seed: int, fast: bool) -> None:
    """Write training files and benchmarks to ``folder``. Test scenes do not occur in training.

    The scenes are the same in every language.

    Raises:
        LanguageError: the language has no words for them.
    """
    training, test = (FAST_TRAINING_SCENES, FAST_TEST_SCENES) if fast else (TRAINING_SCENES, TEST_SCENES)
    scenes = distinct_scenes(random.Random(f"{seed} scenes"), training + test)
    write_drawn_training(folder, scenes[:training], lang=lang, seed=seed)
    write_drawn_benchmarks(folder / "benchmarks", scenes[training:], lang=lang, seed=seed)
