"""GQA-it: join the questions of crux82/gqa-it with the images of lmms-lab/GQA."""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of
from ndino.common.options import need_file
from ndino.common.parsing import parse_json
from ndino.data.errors import DataError
from ndino.data.framework.shards import ItemOutcome, Reject, ShardWriter, run_items
from ndino.data.io.evaluation_folders import run_and_write
from ndino.data.io.images import UnusableImageError, usable_image
from ndino.data.io.inputs import file_inputs
from ndino.data.io.repositories import image_bytes, inputs_of, open_repository, open_table


@dataclass(frozen=True)
class GqaItem:
    """The questions on one image; ``image`` is None if lmms-lab/GQA lacks it."""

    name: str
    questions: Sequence[dict[str, Any]]
    image: bytes | None


def run_gqa(args: argparse.Namespace, images: str) -> int:
    """Run `ndino data native gqa-it`, with ``images`` a folder or a hub name; returns the exit status."""
    by_image: dict[str, list[dict[str, Any]]] = {}
    for question in read_gqa_questions(args.questions):
        by_image.setdefault(str(question.get("img_id")), []).append(question)
    repository = open_repository(images)
    table = open_table(repository, ("testdev_balanced_images/*.parquet", "*.parquet"))
    rows = [
        (row, content["id"])
        for row, content in table.read(("id",), lambda _: True)
        if content and isinstance(content["id"], str) and content["id"] in by_image
    ]
    missing = sorted(set(by_image) - {name for _, name in rows})
    total = min(len(rows) + len(missing), args.limit or len(by_image))
    settings = {
        "source": "gqa-it",
        "lang": args.lang,
        "split": "test",
        "inputs": [
            *file_inputs([(args.questions.name, args.questions)]),
            *inputs_of(repository, [table]),
        ],
    }

    def items(writer: ShardWriter) -> Iterator[tuple[int, GqaItem | None]]:
        numbers = {row: number for number, (row, _) in enumerate(rows) if number < total}

        def wanted(row: int) -> bool:
            return row in numbers and writer.wants(numbers[row])

        for row, content in table.read(("id", "image"), wanted):
            if row in numbers:
                name = rows[numbers[row]][1]
                questions = by_image[name]
                image = image_bytes(content["image"]) if content else b""
                yield numbers[row], GqaItem(name, questions, image)
        for number, name in enumerate(missing, start=len(rows)):
            if number < total:
                yield number, GqaItem(name, by_image[name], None)

    def body(writer: ShardWriter) -> None:
        run_items(writer, items(writer), lambda item: gqa_outcome(item, writer), desc="gqa-it", total=total)

    return run_and_write(args, settings, body)


def read_gqa_questions(file: Path) -> list[dict[str, Any]]:
    """The questions of GQA-it: a JSON list, gzipped or not.

    Raises:
        UsageError: there is no such file.
        DataError: it cannot be read or is not a list of questions.
    """
    need_file(file, "give a .json.gz of crux82/gqa-it")
    try:
        content = file.read_bytes()
        found = parse_json(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{file}: {reason_of(error)} (remedy: a .json.gz of crux82/gqa-it)") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DataError(f"{file}: not a list of questions (remedy: a .json.gz of crux82/gqa-it)")
    return found


def gqa_outcome(item: GqaItem, writer: ShardWriter) -> ItemOutcome:
    """The outcome of an image: a row for each question on it."""
    where = f"gqa-it/{item.name}"
    try:
        if item.image is None:
            raise UnusableImageError("not in lmms-lab/GQA")
        encoded = usable_image(item.image)
    except UnusableImageError as error:
        return ItemOutcome((), tuple(Reject(where, f"image: {error.reason}") for _ in item.questions))
    rows, rejects = [], []
    for question in item.questions:
        sent, label = question.get("sent"), question.get("label")
        if not isinstance(sent, str) or not sent.strip() or not isinstance(label, dict) or not label:
            rejects.append(Reject(where, "no question or no label", {"question": question}))
            continue
        rows.append(
            {
                "id": str(question.get("question_id")),
                "question_id": str(question.get("question_id")),
                "img_id": item.name,
                "sent": sent,
                "label": json.dumps(label, ensure_ascii=False),
                "source": "gqa-it",
            }
        )
    if rows:
        image = writer.save_image(*encoded)
        rows = [{**row, "image": image} for row in rows]
    return ItemOutcome(tuple(rows), tuple(rejects), {"gqa-it/test": len(rows)})
