"""The Cauldron: the paper's 15 tasks, translated pair by pair and checked (sections 3.1 and 3.2)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ndino.data.framework.arguments import add_shard_arguments
from ndino.data.framework.layout import MEMORY
from ndino.data.framework.shards import (
    ItemOutcome,
    Reject,
    ShardWriter,
    run_batches,
    run_source,
)
from ndino.data.io.images import UnusableImageError, usable_image
from ndino.data.io.repositories import SourceTable, image_bytes, inputs_of, open_repository, open_table
from ndino.data.translation import (
    Translation,
    add_quality_arguments,
    add_translation_arguments,
    open_translation,
    quality_settings,
    translation_identity,
)
from ndino.data.translation.pairs import Pair, PairError, read_pair, write_pair
from ndino.data.translation.rejection import VERSION as GUARDS
from ndino.data.translation.translated_pairs import RejectedPair, translate_pairs
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.languages.language import language

TASKS = (
    "aokvqa",
    "clevr",
    "cocoqa",
    "geomverse",
    "iconqa",
    "intergps",
    "localized_narratives",
    "mimic_cgd",
    "nlvr2",
    "raven",
    "spot_the_diff",
    "tallyqa",
    "visual7w",
    "vqarad",
    "vqav2",
)
ROWS_A_TASK = 10_000  # as in the paper
ROWS_AT_ONCE = 256  # translated and committed together
HUB = "HuggingFaceM4/the_cauldron"


@dataclass(frozen=True)
class CauldronRow:
    """A row of a task; ``content`` has ``images`` and ``texts``."""

    task: str
    number: int
    content: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.task}/{self.number:05d}"


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "cauldron",
        help="The Cauldron's 15 tasks, translated and checked",
        description="Translate the first 10,000 rows of each of the paper's 15 tasks, every question and "
        "answer of a row, and keep what passes the paper's three checks: question at the beginning, as many "
        "options as before, answer at the end. The rest goes to rejects.jsonl with the reason, source and "
        "translation. manifest.json counts rows, instances and translated instances of each task.",
        examples=[
            "ndino data cauldron --source data/the_cauldron --out data/cauldron_it --translator madlad "
            "--translator-model models/madlad400-3b-mt-int8"
        ],
    )
    command.add_argument(
        "--source",
        default=HUB,
        metavar="FOLDER",
        help="a folder with one folder of Parquet files for each task, or the dataset on the hub "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--tasks",
        nargs="+",
        choices=TASKS,
        default=TASKS,
        metavar="TASK",
        help=f"only these tasks, space-separated (default: all of {', '.join(TASKS)})",
    )
    add_translation_arguments(command)
    add_quality_arguments(command)
    add_shard_arguments(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    tasks = sorted(set(args.tasks))
    source, target = language(args.from_lang), language(args.lang)
    repository = open_repository(args.source)
    tables = {task: open_table(repository, (f"{task}/*.parquet",), rows=ROWS_A_TASK) for task in tasks}
    settings = {
        "source": "cauldron",
        "lang": args.lang,
        "from": args.from_lang,
        "translator": translation_identity(args),
        "guards": GUARDS,
        **quality_settings(args),
        "inputs": inputs_of(repository, list(tables.values())),
        "tasks": tasks,
        "words": [source.identity, target.identity],
    }
    total = sum(table.rows for table in tables.values())
    total = min(total, args.limit or total)

    def body(writer: ShardWriter) -> None:
        with open_translation(args, writer.folder / MEMORY) as translation:
            maker = CauldronMaker(writer, translation, args.from_lang, args.lang)
            rows = enumerate_rows(tables, writer, total)
            run_batches(writer, rows, maker.work, desc="cauldron", total=total, size=ROWS_AT_ONCE)

    return run_source(args, settings, body)


def enumerate_rows(
    tables: dict[str, SourceTable], writer: ShardWriter, total: int
) -> Iterator[tuple[int, CauldronRow | None]]:
    """The first ``total`` rows of all tasks, numbered consecutively; None for rows already committed."""
    first = 0
    for task, table in tables.items():

        def wanted(number: int, first: int = first) -> bool:
            return first + number < total and writer.wants(first + number)

        for number, content in table.read(("images", "texts"), wanted):
            if first + number >= total:
                return
            yield first + number, None if content is None else CauldronRow(task, number, content)
        first += table.rows


class CauldronMaker:
    """Turns rows of The Cauldron into LLaVA rows in another language."""

    def __init__(self, writer: ShardWriter, translation: Translation, source: str, target: str) -> None:
        self._writer, self._translation = writer, translation
        self._source, self._target = language(source), language(target)

    def work(self, rows: list[CauldronRow]) -> list[ItemOutcome]:
        """One outcome per row, with a LLaVA row for each of its pairs that passed the checks."""
        read = [_read_row(row) for row in rows]
        pairs = [pair for row in read for pair in row if isinstance(pair, Pair)]
        translated = iter(translate_pairs(pairs, self._translation, self._source, self._target))
        return [
            self._outcome(row, [next(translated) if isinstance(one, Pair) else one for one in found])
            for row, found in zip(rows, read, strict=True)
        ]

    def _outcome(self, row: CauldronRow, results: list[Pair | RejectedPair | str]) -> ItemOutcome:
        made, rejects = [], []
        source = f"cauldron/{row.task}"
        fault, saved = None, []
        try:
            images = _images(row)
            if any(isinstance(result, Pair) for result in results):
                saved = [self._writer.save_image(*image) for image in images]
        except UnusableImageError as error:
            fault = f"image: {error.reason}"
        for number, (result, text) in enumerate(zip(results, _texts(row), strict=True)):
            name = f"{row.name}/{number:02d}"
            pair = fault or result
            if not isinstance(pair, Pair):
                rejects.append(_reject(name, pair, text, source))
                continue
            said, answer = write_pair(pair, self._target)
            made.append(
                {
                    "id": f"cauldron/{name}",
                    "image": saved[0] if len(saved) == 1 else saved,
                    "conversations": [
                        {"from": "human", "value": f"{IMAGE_TOKEN}\n" * len(saved) + said},
                        {"from": "gpt", "value": answer},
                    ],
                    "source": source,
                    "original": [text["user"], text["assistant"]],
                    **({} if pair.quality is None else {"quality": pair.quality}),
                }
            )
        counts = {"rows": 1, "instances": len(results), "translated": len(made)}
        if not results:
            rejects.append(Reject(row.name, "no question in the row", source=source))
        return ItemOutcome(
            tuple(made), tuple(rejects), {f"{row.task}/{what}": count for what, count in counts.items()}
        )


def _images(row: CauldronRow) -> list[tuple[bytes, str]]:
    """The row's images with their file suffixes; UnusableImageError if one cannot be used."""
    contents = row.content["images"]
    if not isinstance(contents, list) or not contents:
        raise UnusableImageError("none in the row")
    return [usable_image(image_bytes(content)) for content in contents]


def _texts(row: CauldronRow) -> list[dict[str, Any]]:
    texts = row.content["texts"]
    return [text if isinstance(text, dict) else {} for text in texts] if isinstance(texts, list) else []


def _read_row(row: CauldronRow) -> list[Pair | str]:
    """The pairs of a row; for one that cannot be read, the reason."""
    found: list[Pair | str] = []
    for text in _texts(row):
        try:
            found.append(read_pair(text.get("user"), text.get("assistant")))
        except PairError as error:
            found.append(error.reason)
    return found


def _reject(name: str, fault: str | RejectedPair, text: dict[str, Any], source: str) -> Reject:
    detail = {"user": text.get("user"), "assistant": text.get("assistant")}
    if isinstance(fault, str):
        return Reject(name, fault, detail, source)
    if fault.translated is not None:
        detail |= {"line": fault.line, "translated": fault.translated}
    if len(fault.failed) > 1:
        detail["failed"] = list(fault.failed)
    return Reject(name, fault.reason, detail, source)
