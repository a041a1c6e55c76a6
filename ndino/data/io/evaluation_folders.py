"""Write benchmarks as the Parquet folders that `make eval` reads, under the names in `tasks_it/`.

A source command collects the rows of a benchmark in ``data.jsonl`` like those of any source, with the columns
of the benchmark's task. When that file is complete, the Parquet files are written from it here.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of
from ndino.common.options import need_folder
from ndino.common.parsing import read_json
from ndino.data.errors import DataError
from ndino.data.framework.journal import json_rows
from ndino.data.framework.layout import DATA, IMAGES, MANIFEST, REJECTS
from ndino.data.framework.merge import is_merged
from ndino.data.framework.shards import ShardWriter, run_source
from ndino.formats.hub_folders import stream_split

FOLDER = "benchmarks"


@dataclass(frozen=True)
class EvaluationSet:
    """Where the task of a benchmark looks for its data.

    Attributes:
        folder: ``{}`` in it stands for the language code in capitals, ``{code}`` for the code as it is.
        images_apart: the images are a separate data set, joined by ``img_id``, as those of GQA.
    """

    folder: str
    split: str
    columns: tuple[str, ...]
    images_apart: bool = False

    def folder_in(self, lang: str) -> str:
        """The name of its folder in a language."""
        return self.folder.format(lang.upper(), code=lang)


SETS = {
    "OK-VQA": EvaluationSet("swap-uniba/OK-VQA_{}", "val2014", ("id", "image", "question", "answers")),
    "SEED-Bench": EvaluationSet(
        "swap-uniba/SEED-Bench_{}",
        "test",
        ("id", "image", "question", "choice_a", "choice_b", "choice_c", "choice_d", "answer"),
    ),
    "POPE": EvaluationSet("swap-uniba/POPE_{}", "test", ("id", "image", "question", "answer", "category")),
    "LLaVA-Bench": EvaluationSet(
        "swap-uniba/WILD_{}", "test", ("id", "image", "question", "caption", "gpt_answer")
    ),
    "mtvqa": EvaluationSet("swap-uniba/MTVQA_{}", "test", ("id", "image", "question", "answer")),
    "exams-v": EvaluationSet("swap-uniba/EXAMS-V_{}", "test", ("id", "image", "question", "answer")),
    "GQA": EvaluationSet(
        "crux82/gqa-{code}",
        "test",
        ("question_id", "img_id", "sent", "answer", "types"),
        images_apart=True,
    ),
    # Published in Italian.
    "gqa-it": EvaluationSet(
        "crux82/gqa-it", "test", ("question_id", "img_id", "sent", "label"), images_apart=True
    ),
}


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "evaluation-folders",
        help="write benchmarks as make eval reads them",
        description="Write the rows of a finished folder of `ndino data benchmarks` or `ndino data native "
        f"--split test` as Parquet to OUT/{FOLDER}/, under the names that the tasks read. Those commands do "
        "so themselves unless they ran with --shard.",
        examples=["ndino data evaluation-folders data/exams"],
    )
    command.add_argument("out", type=Path, metavar="OUT", help="the folder that the source wrote with --out")
    command.set_defaults(run=lambda args: write_evaluation_folders(args.out))


def run_and_write(
    args: argparse.Namespace, settings: dict[str, Any], body: Callable[[ShardWriter], None]
) -> int:
    """`run_source`, then the Parquet folders if all shards are complete; returns the exit status."""
    status = run_source(args, settings, body, conversations=False)
    return write_evaluation_folders(args.out) if status == 0 and is_merged(args.out) else status


def write_evaluation_folders(out: Path) -> int:
    """Write ``out``'s benchmarks to ``out/benchmarks``; returns the exit status.

    Raises:
        UsageError: there is no such folder.
        DataError: ``out`` is not finished, or its rows are not those of a benchmark.
    """
    need_folder(out, "name a folder that ndino data benchmarks or native has written")
    try:
        lang = read_json(out / MANIFEST)["lang"]
    except (OSError, KeyError, TypeError) as error:
        raise DataError(f"{out}: not a finished folder (remedy: ndino data merge {out})") from error
    except ValueError as error:
        raise DataError(
            f"{out / MANIFEST}: broken JSON: {reason_of(error)} (remedy: ndino data merge {out})"
        ) from error
    if not (out / DATA).stat().st_size:
        raise DataError(f"{out}: no rows (remedy: {REJECTS} has the reasons)")
    for source, rows in itertools.groupby(json_rows(out / DATA), key=lambda row: row.get("source")):
        known = SETS.get(source)
        if known is None:
            raise DataError(
                f"{out / DATA}: rows of {source!r} are not a benchmark (remedy: give another folder)"
            )
        folder = out / FOLDER / known.folder_in(lang)
        count = stream_split(folder, known.split, _rows(rows, known, out / IMAGES), _types(known))
        print(f"{folder}: {count:,} questions")
        if known.images_apart:
            _write_gqa_images(out)
    return 0


def _write_gqa_images(out: Path) -> None:
    from datasets import Image, Value

    named = {row["img_id"]: row["image"] for row in json_rows(out / DATA) if "img_id" in row}
    images = (
        {"id": name, "image": {"bytes": (out / IMAGES / image).read_bytes(), "path": None}}
        for name, image in named.items()
    )
    folder = out / FOLDER / "lmms-lab" / "GQA"
    types = {"id": Value("string"), "image": Image()}
    count = stream_split(folder, "testdev", images, types, config="testdev_balanced_images")
    print(f"{folder}: {count:,} images")


def _rows(rows: Iterator[dict[str, Any]], known: EvaluationSet, images: Path) -> Iterator[dict[str, Any]]:
    for row in rows:
        cells = {column: row[column] for column in known.columns}
        if "image" in cells:
            cells["image"] = {"bytes": (images / row["image"]).read_bytes(), "path": None}
        yield cells


def _types(known: EvaluationSet) -> dict[str, Any]:
    from datasets import Image, List, Value

    text = Value("string")
    special = {
        "image": Image(),
        "answers": List(text),
        "types": {"structural": text, "semantic": text},
    }
    return {column: special.get(column, text) for column in known.columns}
