"""Data sets natively in the language (section 3.1): MTVQA, EXAMS-V (training, test), GQA-it (test)."""

from __future__ import annotations

import argparse
import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError
from ndino.data.errors import DataError
from ndino.data.framework.arguments import add_shard_arguments
from ndino.data.framework.shards import (
    ItemOutcome,
    Reject,
    ShardWriter,
    run_items,
    run_source,
)
from ndino.data.io import evaluation_folders
from ndino.data.io.images import UnusableImageError, usable_image
from ndino.data.io.repositories import SourceTable, image_bytes, inputs_of, open_repository, open_table
from ndino.data.sources.gqa import run_gqa
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.languages.known.tool_codes import code_for
from ndino.languages.language import Language, language, missing_field

TRAIN, TEST = "train", "test"
HUB = {"mtvqa": "ByteDance/MTVQA", "exams-v": "Rocktim/EXAMS-V", "gqa-it": "lmms-lab/GQA"}
# Characters. MTVQA's list of questions is a string with Python literals; a longer one is not parsed.
LONGEST_LIST = 100_000
EXAM_LETTERS = "ABCDEFGH"
GUARDS = 2  # version of what is taken for a question and an answer


@dataclass(frozen=True)
class NativeSample:
    """An image with its questions and answers, or the ``fault`` for which they cannot be read.

    A question or answer that is missing is None in its pair.
    """

    name: str
    image: bytes
    pairs: tuple[tuple[str, str] | None, ...]
    fault: str = ""


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "native",
        help="MTVQA, EXAMS-V and GQA-it, which are in the language by themselves",
        description="Take the rows of one language from MTVQA, EXAMS-V or GQA-it, which need no translation. "
        "--split train makes LLaVA rows with the tasks' prompts; --split test writes Parquet to "
        f"OUT/{evaluation_folders.FOLDER}/ as the tasks read it (tasks_it/). GQA-it has a test split only: "
        "its questions are a file of https://github.com/crux82/gqa-it, its images lmms-lab/GQA on the hub.",
        examples=[
            "ndino data native mtvqa --split train --out data/mtvqa",
            "ndino data native gqa-it --questions testdev3k_validated.json.gz --out data/gqa_it",
        ],
    )
    command.add_argument("set", choices=HUB, metavar="SET", help=f"one of {', '.join(HUB)}")
    command.add_argument(
        "--source",
        metavar="FOLDER",
        help="the set as published (for gqa-it: the images), a folder or a name on the hub "
        f"(default: {', '.join(HUB.values())})",
    )
    command.add_argument(
        "--questions",
        type=Path,
        metavar="JSON",
        help="for gqa-it: the file of its questions (.json.gz or .json)",
    )
    command.add_argument(
        "--split", choices=(TRAIN, TEST), default=TEST, help="split to read (default: %(default)s)"
    )
    command.add_argument(
        "--lang", default="it", metavar="CODE", help="language of the rows (default: %(default)s)"
    )
    add_shard_arguments(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    words = language(args.lang)
    if args.set == "gqa-it":
        if args.questions is None or args.split == TRAIN:
            raise UsageError("gqa-it has a test split only (remedy: --split test --questions FILE)")
        return run_gqa(args, args.source or HUB[args.set])
    if args.questions is not None:
        raise UsageError(f"--questions: not used for {args.set} (remedy: leave it out, or the set gqa-it)")
    repository = open_repository(args.source or HUB[args.set])
    table = open_table(repository, (f"data/{args.split}-*.parquet", f"*{args.split}*.parquet"))
    rows = _rows_in(table, args.set, words)[: args.limit]
    if not rows:
        raise DataError(f"{repository.name}: no row of {args.split} is {words.name} (remedy: another --lang)")
    settings = {
        "source": args.set,
        "lang": args.lang,
        "split": args.split,
        "guards": GUARDS,
        "inputs": inputs_of(repository, [table]),
    }
    maker = NativeMaker(args.set, args.split, words)

    def body(writer: ShardWriter) -> None:
        numbers = {row: number for number, row in enumerate(rows)}

        def wanted(row: int) -> bool:
            return row in numbers and writer.wants(numbers[row])

        items = (
            (numbers[row], None if content is None else read_sample(args.set, row, content, words))
            for row, content in table.read(_columns(args.set), wanted)
            if row in numbers
        )
        run_items(writer, items, lambda sample: maker.work(sample, writer), desc=args.set, total=len(rows))

    if args.split == TRAIN:
        return run_source(args, settings, body)
    return evaluation_folders.run_and_write(args, settings, body)


def _columns(name: str) -> tuple[str, ...]:
    return ("image", "qa_pairs") if name == "mtvqa" else ("image", "sample_id", "answer_key")


def _rows_in(table: SourceTable, name: str, words: Language) -> list[int]:
    """The numbers of the rows in the language, read without the images."""
    column, wanted = "lang" if name == "mtvqa" else "language", code_for(name, words.code)
    return [
        row
        for row, content in table.read((column,), lambda _: True)
        if content and str(content[column]).strip().casefold() == wanted.casefold()
    ]


def read_sample(name: str, row: int, content: dict[str, Any], words: Language) -> NativeSample:
    """Read a row of MTVQA or EXAMS-V; the questions of EXAMS-V are in the images."""
    image = image_bytes(content["image"])
    if name == "mtvqa":
        pairs = read_question_list(content["qa_pairs"])
        return NativeSample(f"{row:05d}", image, pairs or (), "" if pairs else "questions cannot be read")
    # Also written "B.", "(B)" and "b)".
    letter = str(content["answer_key"] or "").strip("()[].: \t\n").upper()
    if len(letter) != 1 or letter not in EXAM_LETTERS:
        return NativeSample(f"{row:05d}", image, (), "answer is not a letter")
    return NativeSample(f"{row:05d}", image, ((_word(words, "exam_question"), letter),))


def read_question_list(text: object) -> tuple[tuple[str, str] | None, ...] | None:
    """The questions and answers in MTVQA's ``qa_pairs``, a string with a Python list, or None if it is none.

    A pair without a question or an answer is None.
    """
    if not isinstance(text, str) or len(text) > LONGEST_LIST:
        return None
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
    if not isinstance(found, list):
        return None
    pairs = []
    for one in found:
        question, answer = (one.get("question"), one.get("answer")) if isinstance(one, dict) else (None, None)
        whole = isinstance(question, str) and isinstance(answer, str | int | float)
        try:
            found_pair = (str(question).strip(), str(answer).strip()) if whole else ("", "")
        except ValueError:  # a number of thousands of digits
            found_pair = ("", "")
        pairs.append(found_pair if all(found_pair) else None)
    return tuple(pairs) if any(pairs) else None


class NativeMaker:
    """Turns samples into LLaVA rows (training) or into rows of a task (test)."""

    def __init__(self, name: str, split: str, words: Language) -> None:
        self._name, self._split = name, split
        prompt = "short_answer" if name == "mtvqa" else "letter_answer"
        # At evaluation the task adds the prompt.
        self._prompt = "" if split == TEST else _word(words, prompt)

    def work(self, sample: NativeSample, writer: ShardWriter) -> ItemOutcome:
        """The outcome of a sample: a row for each question."""
        where = f"{self._name}/{self._split}/{sample.name}"
        if sample.fault:
            return ItemOutcome((), (Reject(where, sample.fault),))
        try:
            image = writer.save_image(*usable_image(sample.image))
        except UnusableImageError as error:
            return ItemOutcome((), (Reject(where, f"image: {error.reason}"),))
        rows, rejects = [], []
        for number, pair in enumerate(sample.pairs):
            if pair is None:
                rejects.append(Reject(f"{where}-{number:02d}", "no question or no answer"))
            else:
                rows.append(self._row(f"{sample.name}-{number:02d}", image, *pair))
        return ItemOutcome(tuple(rows), tuple(rejects), {f"{self._name}/{self._split}": len(rows)})

    def _row(self, name: str, image: str, question: str, answer: str) -> dict[str, Any]:
        if self._split == TEST:
            return {
                "id": name, "image": image, "question": question, "answer": answer, "source": self._name,
            }  # fmt: skip
        return {
            "id": f"{self._name}/{name}",
            "image": image,
            "conversations": [
                {"from": "human", "value": f"{IMAGE_TOKEN}\n{question}{self._prompt}"},
                {"from": "gpt", "value": answer},
            ],
            "source": self._name,
        }


def _word(words: Language, key: str) -> str:
    if key not in words.words:
        raise missing_field(words.code, key)
    return words.words[key]
