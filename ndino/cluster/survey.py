"""What a check finds out about a stage's data: faulty rows, images that are missing or do not open."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ndino.formats.image_files import read_headers
from ndino.formats.llava_json import ConversationError, read_conversations

DECODED = 64  # number of images that are decoded completely, from the first rows; of the others, the header


@dataclass(frozen=True)
class ImageSurvey:
    """The rows of a data file: how many are faulty or lack an image, and the first of those."""

    rows: int
    faulty: int
    without_image: int
    first_fault: str
    images: int
    first_images: tuple[str, ...]


@functools.lru_cache
def survey_images(data: Path, image_folder: Path, every_image: bool, changed: int) -> ImageSurvey:
    """Read every row and, if asked to, the header of every image.

    Kept, because the stages of a family share their data; ``changed`` is the file's time of change.
    """
    unreadable: list[ConversationError] = []
    rows: list[tuple[int, tuple[str, ...]]] = []
    conversations = read_conversations(data, rejects=unreadable)
    for conversation in tqdm(conversations, desc=f"Reading {data.name}", unit=" rows", leave=False, delay=3):
        rows.append((conversation.row, conversation.images))
    names = dict.fromkeys(image for _, images in rows for image in images)
    faults: dict[str, str] = {}
    if every_image:
        headers = read_headers(names, image_folder)
        bar = tqdm(headers, total=len(names), desc="Opening headers", unit=" images", leave=False, delay=3)
        faults = {header.name: header.fault for header in bar if header.fault}
    without = [(row, faults[image]) for row, images in rows for image in images if image in faults]
    # A row with two missing images is one row.
    by_row = dict(reversed(without))
    firsts = [str(error) for error in unreadable[:1]]
    firsts += [f"{data} row {row}: {fault}" for row, fault in without[:1]]
    usable = (image for row, images in rows if row not in by_row for image in images)
    return ImageSurvey(
        rows=len(rows),
        faulty=len(unreadable),
        without_image=len(by_row),
        first_fault=firsts[0] if firsts else "",
        images=len(names) - len(faults),
        first_images=tuple(itertools.islice(dict.fromkeys(usable), DECODED)),
    )
