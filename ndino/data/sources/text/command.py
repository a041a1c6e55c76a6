"""Instruction text without images, so that a model that learns to see keeps its language.

``files -> rows in a published layout -> conversations -> answers in the language -> LLaVA rows``.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError, printable, reason_of
from ndino.common.parsing import list_items, parse_row
from ndino.data.errors import DataError
from ndino.data.framework.arguments import add_shard_arguments
from ndino.data.framework.shards import ItemOutcome, Reject, ShardWriter, run_items, run_source
from ndino.data.io.inputs import file_inputs
from ndino.data.io.text import TextError
from ndino.data.sources.text.layouts import READ, turns_of
from ndino.formats.llava_json import ROLES
from ndino.formats.prompts import Turn
from ndino.languages.identify import in_language, is_known
from ndino.languages.known.tool_codes import need_code

SOURCE = "text"
GUARDS = 1  # version of how rows are read and refused
KINDS = (".jsonl", ".json", ".parquet")
NOT_ROWS = re.compile(
    r"dataset_infos?\.json|dataset_dict\.json|state\.json"
)  # beside the tables of `datasets`
BATCH_ROWS = 256  # of a Parquet file that are decoded together
# What tokenizers read as the end of a turn, or a model as an image.
CONTROL = re.compile(r"<\|[^|<>\s]{1,40}\|>|<(?:image|video|audio)>")
CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)  # says nothing of the language around it
SPEAKERS = {role: speaker for speaker, role in ROLES.items()}
_READABLE = ".jsonl, .json or .parquet"
_REMEDY = f"a {_READABLE} file, or a folder of them"
SHOWN = 10  # files that are left out and named


@dataclass(frozen=True)
class TextItem:
    """A row of a file: its conversation, or why it has none; ``identity`` is that of its content."""

    where: str
    turns: tuple[Turn, ...] = ()
    identity: str = ""
    reject: Reject | None = None


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        SOURCE,
        help="instruction text without images, in the language",
        description="Turn instruction text as it is published (Alpaca's columns, ShareGPT's conversations, "
        "OpenAI's messages; JSONL, JSON or Parquet) into LLaVA rows without an image. Rows with an answer in "
        "another language are rejected, and so are those with an image, a system message or a control token.",
        examples=["ndino data text --source camoscio.json --lang it --out data/text-it"],
    )
    command.add_argument(
        "--source",
        type=Path,
        required=True,
        metavar="FILE_OR_FOLDER",
        help="a .jsonl, .json or .parquet file, or a folder of them; its name names the rows: text/NAME",
    )
    command.add_argument(
        "--lang", default="it", metavar="CODE", help="language of the answers (default: %(default)s)"
    )
    add_shard_arguments(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; see ``ndino data text --help``."""
    need_code(args.lang, "--lang")
    files = files_of(args.source)
    if not is_known(args.lang):
        print(f"{args.lang}: cannot be told from other languages, so no answer is refused for its language")
    name = args.source.resolve()
    source = f"{SOURCE}/{name.name if name.is_dir() else name.stem}"
    settings = {
        "source": source,
        "lang": args.lang,
        "inputs": file_inputs((path.name, path) for path in files),
        "guards": GUARDS,
    }

    def body(writer: ShardWriter) -> None:
        numbered = enumerate(itertools.islice(items(files), args.limit))
        run_items(writer, numbered, lambda item: work(item, source, args.lang), desc=SOURCE, total=args.limit)

    return run_source(args, settings, body)


def files_of(source: Path) -> list[Path]:
    """The files to read, in the order of their names; files of other kinds are named to the user.

    Raises:
        UsageError: there is none.
    """
    if source.is_file():
        if source.suffix.lower() not in KINDS:
            raise UsageError(f"{source}: of a kind that cannot be read (remedy: {_REMEDY})")
        return [source]
    if not source.is_dir():
        raise UsageError(f"{source}: no such file or folder (remedy: {_REMEDY})")
    there = [path for path in sorted(source.rglob("*")) if path.is_file()]
    found = [path for path in there if path.suffix.lower() in KINDS]
    if not (files := [path for path in found if not NOT_ROWS.fullmatch(path.name)]):
        raise UsageError(f"{source}: no {_READABLE} file in it (remedy: {_REMEDY})")
    names = [path.relative_to(source) for path in there if path not in found]
    # Hidden ones are those of git or of a download's cache.
    if left := [name for name in names if not any(part.startswith(".") for part in name.parts)]:
        more = f" and {len(left) - SHOWN:,} more" if len(left) > SHOWN else ""
        shown = printable(", ".join(map(str, left[:SHOWN])))
        print(f"{source}: not read, as they are not {_READABLE}: {shown}{more}", file=sys.stderr)
    return files


def items(files: Iterable[Path]) -> Iterator[TextItem]:
    """The rows of all files in order, each content once.

    Raises:
        DataError: a file cannot be read, or the rows behind a fault cannot be found.
    """
    seen: set[bytes] = set()
    for path in files:
        for number, row in _rows(path):
            where = f"{path.name} row {number}"
            if isinstance(row, ValueError):
                yield _rejected(where, "broken JSON", detail=reason_of(row))
                continue
            try:
                turns = turns_of(row)
            except TextError as error:
                columns = sorted(row)[:20] if isinstance(row, dict) else []
                yield _rejected(where, error.reason, columns=columns)
                continue
            texts = "\0".join(turn.text for turn in turns)
            content = hashlib.blake2b(texts.encode("utf-8", "replace"), digest_size=8)
            if content.digest() in seen:
                yield _rejected(where, "same text as before", question=turns[0].text)
                continue
            seen.add(content.digest())
            yield TextItem(where, turns, content.hexdigest())


def work(item: TextItem, source: str, language: str) -> ItemOutcome:
    """The outcome of a row: a LLaVA row without an image, or a reject."""
    if item.reject is not None:
        return ItemOutcome(rejects=(item.reject,))
    conversation = [{"from": SPEAKERS[turn.role], "value": turn.text} for turn in item.turns]
    for turn in item.turns:
        if found := CONTROL.search(turn.text):
            detail = {"token": found[0], "conversations": conversation}
            return ItemOutcome(rejects=(Reject(item.where, "control token", detail),))
    answers = (turn.text for turn in item.turns if turn.role == "assistant")
    if not all(in_language(CODE.sub(" ", answer), language) for answer in answers):
        reason = f"not in the language {language}"
        return ItemOutcome(rejects=(Reject(item.where, reason, {"conversations": conversation}),))
    row = {"id": f"{source}-{item.identity}", "conversations": conversation, "source": source}
    return ItemOutcome((row,))


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of a file with their numbers from 1 (in a .jsonl: lines); a ValueError for a broken line."""
    read = {".jsonl": _lines, ".json": _list, ".parquet": _table}[path.suffix.lower()]
    try:
        yield from read(path)
    except OSError as error:
        raise DataError(f"{path}: {reason_of(error)} (remedy: fetch the file again)") from error


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield number, parse_row(line)
                except ValueError as error:
                    yield number, error


def _list(path: Path) -> Iterator[tuple[int, Any]]:
    number = 0
    with path.open("rb") as file:
        try:
            for number, row in enumerate(list_items(file), start=1):
                yield number, row
        except ValueError as error:
            remedy = "a list of rows, or one row per line in a .jsonl"
            raise DataError(f"{path} row {number + 1}: {reason_of(error)} (remedy: {remedy})") from error


def _table(path: Path) -> Iterator[tuple[int, Any]]:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in READ]
            if not columns:
                raise DataError(
                    f"{path}: no column of a known layout among {', '.join(file.schema_arrow.names)} "
                    '(remedy: rename them, see "Layouts" in docs/data/text.md)'
                )
            batches = file.iter_batches(BATCH_ROWS, columns=columns)
            yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)
    except (ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {reason_of(error)} (remedy: fetch the file again)") from error


def _rejected(where: str, reason: str, **detail: Any) -> TextItem:
    return TextItem(where, reject=Reject(where, reason, detail))
