"""Reads questions with given answers and images, from a JSONL file or a dataset."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from ndino.common.errors import SHOWN_REASON, UsageError, UserError, no_room, reason_of, remedy_for, shown
from ndino.common.hub import hub_reason, may_be_on_hub
from ndino.common.images import BROKEN_IMAGE, image_digest, is_embedded, missing_image
from ndino.common.options import need_file, need_folder
from ndino.evaluation.local_data import is_hub_layout
from ndino.evaluation.shuffle import shuffle_map
from ndino.formats.hub_folders import load_folder

# JSON can escape it, but neither tokenizers nor UTF-8 files can hold it.
_HALF_A_PAIR = re.compile("[\\ud800-\\udfff]")


class AnswerSetError(UserError):
    """Data that cannot be used at all; the message says what to change."""


@dataclass(frozen=True)
class AnswerItem:
    """One question with its answer and its image.

    Attributes:
        id: unique in its set.
        digest: of the encoded image; empty where there is a fault.
        image: reads the encoded image.
        fault: why this row cannot be scored; it is skipped with this reason. None for a good one.
    """

    id: str
    question: str
    answer: str
    digest: str
    image: Callable[[], bytes]
    fault: str | None = None


def require_answers(data: str, *, images_dir: Path | None = None, split: str | None = None) -> None:
    """Check what can be checked of the arguments of `read_items` without reading anything.

    Raises:
        UsageError: no such data or folder of images, or images for data that hold their own.
    """
    if not Path(data).exists() and not may_be_on_hub(data):
        raise UsageError(f"{data}: no such data (remedy: name a .jsonl, a .parquet or a dataset's folder)")
    if images_dir is None:
        return
    need_folder(images_dir, "name the folder of the images")
    if (_plain_jsonl(Path(data), split) or Path(data)).suffix != ".jsonl":
        raise UsageError(f"--images {images_dir}: {data} has images of its own (remedy: leave --images out)")


def read_items(
    data: str,
    *,
    images_dir: Path | None = None,
    split: str | None = None,
    question_field: str = "question",
    answer_field: str | None = None,
) -> list[AnswerItem]:
    """Read questions and answers. Images are read for their digests, and decoded later.

    Args:
        data: a ``.jsonl`` whose ``file_name`` (or ``image``) is an image in ``images_dir`` (default: the
            file's folder), a folder of such files, a ``.parquet`` file, or a dataset's folder or hub id; the
            latter two have an ``image`` column.
        split: which one, where a dataset has several.
        question_field: the column of questions.
        answer_field: by default ``gpt_answer`` where the data has it, else ``answer``.

    Raises:
        UsageError: no such data, split or column.
        AnswerSetError: no rows, or rows that cannot be read.
    """
    require_answers(data, images_dir=images_dir, split=split)
    path = _plain_jsonl(Path(data), split) or Path(data)
    rows = _read_jsonl(path, images_dir) if path.suffix == ".jsonl" else _read_dataset(data, split)
    if not rows:
        raise AnswerSetError(f"{data}: no rows (remedy: a data set with questions and answers)")
    columns = {key for row in rows for key in row}
    if answer_field is None:
        answer_field = "gpt_answer" if "gpt_answer" in columns else "answer"
    for field in (question_field, answer_field):
        if field not in columns:
            found = ", ".join(sorted(key for key in columns if not key.startswith("_")))
            raise UsageError(
                f"{data}: no field {field} (remedy: --question-field or --answer-field with one of {found})"
            )
    seen: set[str] = set()
    items = []
    for number, row in enumerate(rows, start=1):
        identity = next(
            (str(row[key]) for key in ("id", "question_id") if row.get(key) is not None), str(number)
        )
        # Sets with several questions per image repeat the image's id.
        unique = next(
            name for n in count(1) if (name := identity if n == 1 else f"{identity}#{n}") not in seen
        )
        seen.add(unique)
        items.append(_item(unique, row, question_field, answer_field))
    return items


def _plain_jsonl(folder: Path, split: str | None) -> Path | None:
    """The file of a folder that holds JSONL and no README that names its splits, as ``make eval`` reads them.

    Raises:
        AnswerSetError: there are several files, and none is named after the split.
    """
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() and not is_hub_layout(folder) else []
    chosen = [path for path in files if path.stem == split] if split else files
    if len(chosen) == 1 or len(files) == 1:
        return (chosen or files)[0]
    if files:
        names = ", ".join(path.stem for path in files)
        raise UsageError(f"{folder}: has several files (remedy: choose one with --split: {names})")
    return None


def _read_jsonl(path: Path, images_dir: Path | None) -> list[dict[str, Any]]:
    folder = images_dir or path.parent
    need_file(path, "name a .jsonl, a .parquet or a dataset's folder")
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name = row.get("file_name") or row["image"]
            row["_image"] = (folder / name).read_bytes
            if is_embedded(name) and not os.path.exists(folder / name):
                row["_fault"] = missing_image(name, folder)[0]
        except ValueError as error:
            row = {"_fault": f"broken JSON: {path} row {number}: {shown(error, SHOWN_REASON)}"}
        except (AttributeError, KeyError, TypeError):
            row = {"_fault": f"no file_name: {path} row {number}"}
        rows.append(row)
    return rows


def _read_dataset(data: str, split: str | None) -> list[dict[str, Any]]:
    from datasets import Dataset, DatasetDict, config, load_dataset
    from datasets import Image as ImageFeature
    from datasets.exceptions import DatasetsError

    if data.endswith(".parquet"):
        need_file(Path(data), "name a .jsonl, a .parquet or a dataset's folder")
    try:
        if data.endswith(".parquet"):
            found: Dataset | DatasetDict = load_dataset("parquet", data_files=data, split="train")
        else:
            found = load_folder(Path(data)) if Path(data).is_dir() else load_dataset(data)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        if may_be_on_hub(data) and not no_room(error):
            raise UsageError(
                f"{data}: no such data, nor on the hub: {hub_reason(error)} "
                "(remedy: fetch it where there is a network, and name its folder)"
            ) from error
        remedy = remedy_for(error, "give a .jsonl, a .parquet, or a folder as the hub lays it out")
        if no_room(error):
            remedy += f", where {config.HF_DATASETS_CACHE} lies, or set HF_DATASETS_CACHE"
        raise AnswerSetError(
            f"{data}: cannot be read as a dataset: {reason_of(error)} (remedy: {remedy})"
        ) from error
    if isinstance(found, DatasetDict):
        names = ", ".join(map(str, found))
        if split is None and len(found) > 1:
            raise UsageError(f"{data}: has several splits (remedy: choose one with --split: {names})")
        if split is not None and split not in found:
            raise UsageError(f"{data}: no split {split} (remedy: one of {names})")
        found = found[split or next(iter(found))]
    if not isinstance(found.features.get("image"), ImageFeature):
        raise AnswerSetError(
            f"{data}: no column image with images among {', '.join(found.column_names)} "
            "(remedy: name it image)"
        )
    encoded = found.select_columns("image").cast_column("image", ImageFeature(decode=False))

    def reader(index: int) -> Callable[[], bytes]:
        def read() -> bytes:
            image = encoded[index]["image"]
            return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()

        return read

    texts = found.remove_columns("image").to_list()
    return [{**row, "_image": reader(index)} for index, row in enumerate(texts)]


def _item(identity: str, row: dict[str, Any], question_field: str, answer_field: str) -> AnswerItem:
    fault = row.get("_fault")
    question, answer = row.get(question_field), row.get(answer_field)
    read, digest = row.get("_image", bytes), ""
    for value, name in ((question, question_field), (answer, answer_field)):
        if fault is None and (not isinstance(value, str) or not value.strip()):
            fault = f"{name} is empty or no text"
        elif fault is None and _HALF_A_PAIR.search(str(value)):
            fault = f"{name} is no Unicode: it holds half of a surrogate pair"
    if fault is None:
        try:
            content = read()
            # The header is enough: the shuffled control must not give a broken image to a good row.
            with Image.open(io.BytesIO(content)):
                digest = image_digest(content)
        except UnidentifiedImageError:
            # Pillow's message has an address in memory, which differs in every run.
            fault = "image cannot be read: it is no image"
        except (*BROKEN_IMAGE, TypeError) as error:
            fault = f"image cannot be read: {reason_of(error)}"
    return AnswerItem(identity, str(question), str(answer), digest, read, fault)


def exchange_images(items: Sequence[AnswerItem]) -> list[AnswerItem]:
    """The shuffled-image control: every item gets another item's image.

    Raises:
        AnswerSetError: fewer than two different images.
    """
    holders = {item.digest: item for item in items if item.fault is None}
    try:
        given = shuffle_map(holders)
    except UserError as error:
        raise AnswerSetError(f"the answers show {error}") from error
    return [
        item
        if item.fault
        else AnswerItem(
            item.id, item.question, item.answer, given[item.digest], holders[given[item.digest]].image
        )
        for item in items
    ]
