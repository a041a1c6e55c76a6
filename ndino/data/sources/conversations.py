"""LLaVA Conversation 58k: user and assistant translated separately, line by line (sections 3.1 and 3.2)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError
from ndino.common.images import find_file, leaves_the_folder
from ndino.data.errors import DataError
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
from ndino.data.io.inputs import file_inputs, folder_input
from ndino.data.translation import (
    Translated,
    Translation,
    add_quality_arguments,
    add_translation_arguments,
    open_translation,
    quality_settings,
    translation_identity,
)
from ndino.data.translation.lines import TextPiece, join_lines, split_lines, words_of
from ndino.data.translation.placeholders import undo_entities
from ndino.data.translation.quality.scorer import weakest
from ndino.data.translation.rejection import VERSION as GUARDS
from ndino.formats.llava_json import Conversation, ConversationError, read_conversations
from ndino.formats.prompts import IMAGE_TOKEN

CONVERSATIONS_AT_ONCE = 128  # translated and committed together
# LLaVA uses the file names of COCO 2017; those of COCO 2014 have a prefix.
PREFIXES = ("", "COCO_train2014_", "COCO_val2014_")
SINGLE, MULTI = "conversations/single", "conversations/multi"


@dataclass(frozen=True)
class ConversationItem:
    """A conversation of the file, or the error for a broken one; ``number`` counts from 0."""

    number: int
    content: Conversation | ConversationError
    file: str

    @property
    def place(self) -> dict[str, Any]:
        """Where the row is, for a reject: the file, and the row as `ndino data check` numbers it."""
        return {"file": self.file, "row": self.content.row}

    @property
    def name(self) -> str:
        found = self.content
        return f"{self.number:05d}" + (f"-{found.id}" if isinstance(found, Conversation) else "")


@dataclass(frozen=True)
class _Round:
    """A translated round; ``quality`` is the lowest score of its texts, where they were scored."""

    number: int
    asked: str
    answered: str
    quality: float | None


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "conversations",
        help="LLaVA Conversation 58k, translated",
        description="Translate conversations in LLaVA JSON, line by line. Every round becomes a row of its "
        "own (source conversations/single, as in the paper), and the whole conversation one more "
        "(conversations/multi, for multi-round training).",
        examples=[
            "ndino data conversations conversation_58k.json --images coco/train2017 "
            "--out data/conversations_it --translator madlad "
            "--translator-model models/madlad400-3b-mt-int8"
        ],
    )
    command.add_argument("file", type=Path, metavar="JSON", help="LLaVA JSON (.json or .jsonl)")
    command.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of the images, under COCO's file names (train2017 or train2014)",
    )
    add_translation_arguments(command)
    add_quality_arguments(command)
    add_shard_arguments(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if not args.file.is_file():
        raise UsageError(f"{args.file}: no such file (remedy: LLaVA's conversation_58k.json)")
    if not args.images.is_dir():
        raise UsageError(f"{args.images}: no such folder (remedy: --images FOLDER with COCO's images)")
    names = image_names(args.file, args.limit)
    found = {Path(name): path for name in names if (path := source_image(args.images, name)) is not None}
    images = folder_input(args.images, found)
    settings = {
        "source": "conversations",
        "lang": args.lang,
        "from": args.from_lang,
        "translator": translation_identity(args),
        "guards": GUARDS,
        **quality_settings(args),
        "inputs": [*file_inputs([(args.file.name, args.file)]), images],
    }

    def body(writer: ShardWriter) -> None:
        with open_translation(args, writer.folder / MEMORY) as translation:
            maker = ConversationMaker(writer, translation, args.images)
            items = ((item.number, item) for item in read_items(args.file, args.limit))
            run_batches(
                writer,
                items,
                maker.work,
                desc="conversations",
                total=args.limit,
                size=CONVERSATIONS_AT_ONCE,
            )

    return run_source(args, settings, body)


def read_items(file: Path, limit: int | None = None) -> Iterator[ConversationItem]:
    """The first ``limit`` rows of the file, including broken ones.

    Raises:
        DataError: the file is truncated or is not a list of rows.
    """
    faults: list[ConversationError] = []
    number = 0
    try:
        for conversation in read_conversations(file, rejects=faults):
            for content in (*faults, conversation):
                if number == limit:
                    return
                yield ConversationItem(number, content, file.name)
                number += 1
            faults.clear()
    except ConversationError as error:
        raise DataError(str(error)) from error
    for content in faults[: None if limit is None else limit - number]:
        yield ConversationItem(number, content, file.name)
        number += 1


def image_names(file: Path, limit: int | None = None) -> list[str]:
    """The distinct images of the first ``limit`` rows, without those outside the image folder, sorted."""
    contents = (item.content for item in read_items(file, limit))
    rows = (content for content in contents if isinstance(content, Conversation))
    return sorted({name for row in rows for name in row.images if not leaves_the_folder(name)})


def source_image(folder: Path, name: str) -> Path | None:
    """The file of the image ``name`` in ``folder``, or None."""
    return next((path for prefix in PREFIXES if (path := find_file(folder / f"{prefix}{name}"))), None)


class ConversationMaker:
    """Turns conversations into LLaVA rows in another language."""

    def __init__(self, writer: ShardWriter, translation: Translation, images: Path) -> None:
        self._writer, self._translation, self._images = writer, translation, images

    def work(self, items: list[ConversationItem]) -> list[ItemOutcome]:
        """One outcome per conversation: a row for each round, and one for the whole conversation."""
        messages = [_messages(item) for item in items]
        texts = [text for said in messages for pieces in said for text in words_of(pieces)]
        translated = iter(self._translation.translate(texts))
        return [
            self._outcome(item, [(pieces, [next(translated) for _ in words_of(pieces)]) for pieces in said])
            for item, said in zip(items, messages, strict=True)
        ]

    def _outcome(
        self, item: ConversationItem, said: list[tuple[list[TextPiece], list[Translated]]]
    ) -> ItemOutcome:
        counts = {"conversations/rows": 1, "conversations/instances": len(said) // 2}
        if isinstance(item.content, ConversationError):
            reject = Reject(item.name, "not a LLaVA row", {**item.place, "fault": item.content.reason})
            return ItemOutcome((), (reject,), counts)
        try:
            encoded = self._image(item.content)
        except UnusableImageError as error:
            reason = f"image: {error.reason}"
            return ItemOutcome(
                (), (Reject(item.name, reason, {**item.place, "image": item.content.images}),), counts
            )
        rejects, rounds = [], []
        for number, (user, assistant) in enumerate(zip(said[::2], said[1::2], strict=True)):
            fault = next((one.reason for one in (*user[1], *assistant[1]) if one.reason), None)
            if fault:
                asked, answered = (turn.text for turn in item.content.turns[2 * number : 2 * number + 2])
                detail = {**item.place, "user": asked, "assistant": answered}
                rejects.append(Reject(f"{item.name}/{number:02d}", fault, detail, SINGLE))
            else:
                quality = weakest((*user[1], *assistant[1]))
                rounds.append(_Round(number, _joined(*user), _joined(*assistant), quality))
        image = self._writer.save_image(*encoded) if rounds else ""
        original = [turn.text.replace(IMAGE_TOKEN, "").strip() for turn in item.content.turns]
        rows = [
            _row(f"{item.name}/{one.number:02d}", image, [one], SINGLE)
            | {"original": original[2 * one.number : 2 * one.number + 2]}
            for one in rounds
        ]
        if rejects:
            rejects.append(Reject(item.name, "a round is missing", item.place, MULTI))
        else:
            rows.append(_row(item.name, image, rounds, MULTI) | {"original": original})
        return ItemOutcome(tuple(rows), tuple(rejects), {**counts, "conversations/translated": len(rounds)})

    def _image(self, conversation: Conversation) -> tuple[bytes, str]:
        if len(conversation.images) != 1:
            raise UnusableImageError("not one in the row")
        name = conversation.images[0]
        if leaves_the_folder(name):
            raise UnusableImageError("outside the folder")
        if (path := source_image(self._images, name)) is None:
            raise UnusableImageError("not in the folder")
        try:
            return usable_image(path.read_bytes())
        except OSError:
            raise UnusableImageError("cannot be read") from None


def _messages(item: ConversationItem) -> list[list[TextPiece]]:
    if isinstance(item.content, ConversationError):
        return []
    # The image token is at the beginning or end of its message, separated by a newline.
    texts = [
        turn.text.replace(IMAGE_TOKEN, "").strip() if IMAGE_TOKEN in turn.text else turn.text
        for turn in item.content.turns
    ]
    return [split_lines(undo_entities(text)) for text in texts]


def _joined(pieces: list[TextPiece], translated: list[Translated]) -> str:
    return join_lines(pieces, [one.text or "" for one in translated])


def _row(name: str, image: str, rounds: Sequence[_Round], source: str) -> dict[str, object]:
    messages = []
    for number, one in enumerate(rounds):
        head = "" if number else f"{IMAGE_TOKEN}\n"
        messages += [{"from": "human", "value": head + one.asked}, {"from": "gpt", "value": one.answered}]
    row = {"id": f"conversations/{name}", "image": image, "conversations": messages, "source": source}
    scores = [one.quality for one in rounds if one.quality is not None]
    return {**row, "quality": min(scores)} if scores else row
