"""Write a world's samples of the open tasks beyond the paper's: captions, and requests for a judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets import Image as ImageFeature
from datasets import List, Value
from PIL import Image

from ndino.evaluation.tasks.m_wildvision import MWildVision
from ndino.evaluation.tasks.xm3600 import Xm3600
from ndino.formats.hub_folders import write_split
from ndino.languages.known.tool_codes import known_code
from ndino.languages.lexicon import Lexicon

TEXT = Value("string")
IMAGE = ImageFeature()
ROWS = 60


def write_open_files(
    folder: Path,
    images: Sequence[Image.Image],
    captions: Sequence[str],
    descriptions: Sequence[str],
    words: Lexicon,
) -> None:
    """Write the first images with their texts under the published names and in the published schemas."""
    code = words.code
    described = list(zip(images, captions, descriptions, strict=True))[:ROWS]
    write_split(
        folder / Xm3600(code).source,
        known_code("xm3600", code) or code,
        [
            {"image_id": f"{number:04d}", "image_locale": code, "image": image, "captions": references}
            for number, (image, *references) in enumerate(described)
        ],
        {"image_id": TEXT, "image_locale": TEXT, "image": IMAGE, "captions": List(TEXT)},
    )
    write_split(
        folder / MWildVision(code).source,
        "test",
        [
            {
                "question_id": f"{number:04d}",
                "image": image,
                "prompt": words.description_question,
                "reference": description,
            }
            for number, (image, _, description) in enumerate(described)
        ],
        {"question_id": TEXT, "image": IMAGE, "prompt": TEXT, "reference": TEXT},
        config=known_code("flores", code) or code,
    )
