"""English POPE, a task of lmms-eval's own, as small local data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Image as ImageFeature
from datasets import Value

from ndino.formats.hub_folders import write_split


def write_pope(folder: Path, images: Sequence[Any]) -> Path:
    """A question about each image, decoded or as ``datasets`` stores one; returns ``folder``."""
    rows = [
        {
            **{"id": str(i), "question_id": str(i), "question": f"Number {i}?", "answer": "yes"},
            **{"image_source": "x", "image": image, "category": "random"},
        }
        for i, image in enumerate(images)
    ]
    types = {key: ImageFeature() if key == "image" else Value("string") for key in rows[0]}
    write_split(folder / "lmms-lab-encoder" / "POPE", "test", rows, types)
    return folder
