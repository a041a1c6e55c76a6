"""The drawn world: scenes of coloured shapes, signs and exam sheets, generated under a seed."""

from __future__ import annotations

import random
from pathlib import Path

from miniature.worlds.benchmarks import write_benchmarks
from miniature.worlds.scenes import distinct_scenes
from miniature.worlds.training_files import write_training_files

TRAINING_SCENES, TEST_SCENES = 3600, 300
FAST_TRAINING_SCENES, FAST_TEST_SCENES = 200, 24


def prepare(folder: Path, *, seed: int, fast: bool) -> None:
    """Write training files and benchmarks to ``folder``; no test scene is among the training scenes."""
    training, test = (FAST_TRAINING_SCENES, FAST_TEST_SCENES) if fast else (TRAINING_SCENES, TEST_SCENES)
    scenes = distinct_scenes(random.Random(f"{seed} scenes"), training + test)
    write_training_files(folder, scenes[:training], seed=seed)
    write_benchmarks(folder / "benchmarks", scenes[training:], seed=seed)
