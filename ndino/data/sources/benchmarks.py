"""Translate OK-VQA, SEED-Bench, POPE, LLaVA-Bench and GQA, with the same checks as The Cauldron's pairs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ndino.common.errors import UsageError
from ndino.data.framework.arguments import add_shard_arguments
from ndino.data.framework.layout import MEMORY
from ndino.data.framework.shards import ItemOutcome, Reject, ShardWriter, run_batches
from ndino.data.io import evaluation_folders
from ndino.data.io.images import UnusableImageError, usable_image
from ndino.data.io.repositories import DataRepository, SourceTable, inputs_of, open_repository, open_table
from ndino.data.sources.benchmark_sets import BENCHMARKS, Benchmark, BenchmarkQuestion, image_of
from ndino.data.translation import (
    Translated,
    Translation,
    add_translation_arguments,
    open_translation,
    translation_identity,
)
from ndino.data.translation.lines import join_lines, split_lines, words_of
from ndino.data.translation.pairs import Pair, PairError
from ndino.data.translation.placeholders import undo_entities
from ndino.data.translation.rejection import VERSION as GUARDS
from ndino.data.translation.translated_pairs import RejectedPair, translate_pairs
from ndino.languages.language import Language, language

QUESTIONS_AT_ONCE = 256  # translated and committed together


@dataclass(frozen=True)
class BenchmarkItem:
    """A row of a benchmark."""

    benchmark: Benchmark
    number: int
    row: dict[str, Any]


@dataclass(frozen=True)
class OpenBenchmark:
    """A benchmark with its files; ``images`` is the table of those that are apart."""

    benchmark: Benchmark
    repository: DataRepository
    table: SourceTable
    images: SourceTable | None

    @classmethod
    def of(cls, benchmark: Benchmark, source: str) -> OpenBenchmark:
        repository = open_repository(f"{source}/{benchmark.repository}")
        images = open_table(repository, benchmark.images) if benchmark.images else None
        return cls(benchmark, repository, open_table(repository, benchmark.files), images)

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The manifest's record of the files."""
        tables = [self.table, *([self.images] if self.images else [])]
        return [
            {**one, "file": f"{self.benchmark.repository}/{one['file']}"}
            for one in inputs_of(self.repository, tables)
        ]

    def read(self, wanted: Callable[[int], bool]) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """As `SourceTable.read`; images that are apart are joined, None for one that is missing."""
        images: dict[str, Any] | None = None
        for number, row in self.table.read(self.benchmark.columns, wanted):
            if row is not None and self.images is not None:
                if images is None:  # 66 MB of GQA
                    read = self.images.read(("id", "image"), lambda _: True)
                    images = {one["id"]: one["image"] for _, one in read if one}
                row["image"] = images.get(row["imageId"])
            yield number, row


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "benchmarks",
        help="OK-VQA, SEED-Bench, POPE, LLaVA-Bench and GQA, translated",
        description="Translate benchmarks and keep the questions that pass the checks of `ndino data "
        f"cauldron`. Writes Parquet to OUT/{evaluation_folders.FOLDER}/ under the names and in the schemas "
        "of the tasks (tasks_it/), ready for make eval DATA=. manifest.json counts the original and the "
        "translated questions.",
        examples=[
            "ndino data benchmarks --source data/lmms-lab --out data/benchmarks_it --translator madlad "
            "--translator-model models/madlad400-3b-mt-int8"
        ],
    )
    command.add_argument(
        "--source",
        default="lmms-lab",
        metavar="FOLDER",
        help="a folder with "
        + ", ".join(one.repository for one in BENCHMARKS.values())
        + " in it, each as published; or the organisation on the hub (default: %(default)s)",
    )
    command.add_argument(
        "--only",
        nargs="+",
        choices=BENCHMARKS,
        metavar="NAME",
        help=f"only these benchmarks, space-separated (default: all of {', '.join(BENCHMARKS)} that are not "
        "published in the language, as GQA is in Italian)",
    )
    add_translation_arguments(command)
    add_shard_arguments(command)
    command.set_defaults(run=run)
    evaluation_folders.add_command(subparsers)


def run(args: argparse.Namespace) -> int:
    source, target = language(args.from_lang), language(args.lang)
    opened = [OpenBenchmark.of(BENCHMARKS[name], args.source) for name in _names(args.only, args.lang)]
    settings = {
        "source": "benchmarks",
        "lang": args.lang,
        "from": args.from_lang,
        "translator": translation_identity(args),
        "guards": GUARDS,
        "inputs": [one for benchmark in opened for one in benchmark.inputs],
        "words": [source.identity, target.identity],
    }
    total = sum(one.table.rows for one in opened)
    total = min(total, args.limit or total)

    def body(writer: ShardWriter) -> None:
        with open_translation(args, writer.folder / MEMORY) as translation:
            maker = BenchmarkMaker(writer, translation, source, target)
            items = enumerate_items(opened, writer, total)
            run_batches(writer, items, maker.work, desc="benchmarks", total=total, size=QUESTIONS_AT_ONCE)

    return evaluation_folders.run_and_write(args, settings, body)


def _names(only: list[str] | None, lang: str) -> list[str]:
    """The benchmarks to translate, in their order.

    Raises:
        UsageError: one is published in the language.
    """
    published = [name for name in BENCHMARKS if f"{name}-{lang}" in evaluation_folders.SETS]
    if only is not None and (found := next((name for name in published if name in only), None)):
        raise UsageError(
            f"--only {found}: published in this language (remedy: ndino data native {found}-{lang})"
        )
    return [name for name in BENCHMARKS if name not in published and (only is None or name in only)]


def enumerate_items(
    opened: list[OpenBenchmark], writer: ShardWriter, total: int
) -> Iterator[tuple[int, BenchmarkItem | None]]:
    """The first ``total`` rows of all benchmarks, numbered consecutively; None for rows already committed."""
    first = 0
    for one in opened:

        def wanted(number: int, first: int = first) -> bool:
            return first + number < total and writer.wants(first + number)

        for number, row in one.read(wanted):
            if first + number >= total:
                return
            yield first + number, None if row is None else BenchmarkItem(one.benchmark, number, row)
        first += one.table.rows


class BenchmarkMaker:
    """Turns the questions of a benchmark into rows of its task in another language."""

    def __init__(
        self, writer: ShardWriter, translation: Translation, source: Language, target: Language
    ) -> None:
        self._writer, self._translation, self._source, self._target = writer, translation, source, target

    def work(self, items: list[BenchmarkItem]) -> list[ItemOutcome]:
        """One outcome per question."""
        prepared = [_ask(item) for item in items]
        questions = [one for one in prepared if isinstance(one, BenchmarkQuestion)]
        pairs = iter(
            translate_pairs(
                [pair for question in questions for pair in question.pairs],
                self._translation,
                self._source,
                self._target,
            )
        )
        pieces = [[split_lines(undo_entities(text)) for text in question.texts] for question in questions]
        lines = iter(
            self._translation.translate([text for texts in pieces for one in texts for text in words_of(one)])
        )
        texts = iter(
            [[(one, [next(lines) for _ in words_of(one)]) for one in question] for question in pieces]
        )
        return [
            self._outcome(item, one, [next(pairs) for _ in one.pairs], next(texts))
            if isinstance(one, BenchmarkQuestion)
            else _left_out(item, one)
            for item, one in zip(items, prepared, strict=True)
        ]

    def _outcome(
        self,
        item: BenchmarkItem,
        question: BenchmarkQuestion,
        pairs: list[Pair | RejectedPair],
        texts: list[tuple[list[Any], list[Translated]]],
    ) -> ItemOutcome:
        name = item.benchmark.name
        where, original = f"{name}/{question.id}", {f"{name}/original": 1}
        rejects = tuple(
            Reject(where, pair.reason, {"line": pair.line, "translated": pair.translated}, name)
            for pair in pairs
            if isinstance(pair, RejectedPair)
        )
        kept = [pair if isinstance(pair, Pair) else None for pair in pairs]
        # A question with several answers loses only those that are rejected.
        if rejects and (not item.benchmark.drops_answers or not any(kept)):
            return ItemOutcome((), rejects[:1], original)
        reasons = [one.reason for _, translated in texts for one in translated if one.reason]
        if reasons:
            return ItemOutcome(
                (), (Reject(where, reasons[0], {"texts": list(question.texts)}, name),), original
            )
        try:
            image = self._writer.save_image(*usable_image(image_of(item.row)))
        except UnusableImageError as error:
            return ItemOutcome((), (Reject(where, f"image: {error.reason}", source=name),), original)
        joined = [join_lines(pieces, [one.text or "" for one in translated]) for pieces, translated in texts]
        cells = item.benchmark.answer(item.row, kept, joined)
        named = {column: item.benchmark.renamed.get(column, column) for column in cells}
        before = {column: item.row[name] for column, name in named.items() if name in item.row}
        row = {"id": question.id, "image": image, **cells, "source": name, "original": before}
        counts = {**original, f"{name}/translated": 1}
        if rejects:
            counts[f"{name}/answers dropped"] = len(rejects)
        return ItemOutcome((row,), rejects, counts)


def _ask(item: BenchmarkItem) -> BenchmarkQuestion | str | None:
    try:
        return item.benchmark.ask(item.row)
    except PairError as error:
        return error.reason


def _left_out(item: BenchmarkItem, reason: str | None) -> ItemOutcome:
    name = item.benchmark.name
    if reason is None:
        return ItemOutcome(counts={f"{name}/other parts": 1})
    return ItemOutcome(
        (), (Reject(f"{name}/row {item.number}", reason, source=name),), {f"{name}/original": 1}
    )
