"""A source that generates its items: ``python -m tests.data.framework.toy --out FOLDER --log FILE``.

Item k is an image with a caption, or two of them, or a reject, or two conversations of text. Every piece of
work is noted in ``--log`` when it begins.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from PIL import Image

from ndino.data.framework.arguments import add_shard_arguments
from ndino.data.framework.shards import (
    ItemOutcome,
    Reject,
    ShardWriter,
    run_items,
    run_source,
)

ITEMS = 60
SETTINGS = {"source": "toy", "lang": "it", "inputs": [{"file": "toy.tsv", "sha256": "00"}]}


def draw_image(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20 + number % 7, 20), (number % 5, 0, 0)).save(file, "PNG")
    return file.getvalue()


def row(identity: str, source: str, image: str | None = None) -> dict:
    made = {"id": identity, "source": source}
    if image is not None:
        made["image"] = image
    asked = "Che cos'è?" if image is None else "<image>"
    answer = {"from": "gpt", "value": f"È il numero {identity}."}
    return made | {"conversations": [{"from": "human", "value": asked}, answer]}


def outcome(writer: ShardWriter, number: int) -> ItemOutcome:
    if number % 4 == 3:
        return ItemOutcome(rejects=(Reject(f"item {number}", "no caption", {"number": number}),))
    if number % 4 == 2:
        rows = tuple(row(f"{number}-{part}", "toy/text") for part in range(2))
        return ItemOutcome(rows=rows, counts={"text/rows": 2})
    image = writer.save_image(draw_image(number), ".png")
    return ItemOutcome(rows=(row(str(number), "toy/images", image),), counts={"images/rows": 1})


def work_through(
    writer: ShardWriter,
    *,
    limit: int | None = None,
    log: Path | None = None,
    pause: float = 0,
    workers: int = 1,
) -> None:
    def work(number: int) -> ItemOutcome:
        if log is not None:
            with log.open("a") as file:
                file.write(f"{number}\n")
        time.sleep(pause)
        return outcome(writer, number)

    numbers = islice(range(ITEMS), limit)
    run_items(writer, ((number, number) for number in numbers), work, desc="toy", workers=workers)


def run(*arguments: str | Path) -> int:
    """Run the toy source in this process."""
    parser = argparse.ArgumentParser()
    add_shard_arguments(parser)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--pause", type=float, default=0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args([str(argument) for argument in arguments])

    def body(writer: ShardWriter) -> None:
        work_through(writer, limit=args.limit, log=args.log, pause=args.pause, workers=args.workers)

    return run_source(args, SETTINGS, body)


def files_below(folder: Path, names: Sequence[str] = ("*.jsonl", "*.json", "*.md", "images/**/*")) -> dict:
    """The content of the files of a finished folder, by name."""
    found = {path for name in names for path in folder.glob(name) if path.is_file()}
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
