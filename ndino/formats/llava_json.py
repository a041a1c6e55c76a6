"""LLaVA JSON, the format of training data: read row by row, checked, written.

A row is ``{"id": "7", "image": "a.png", "conversations": [{"from": "human", "value": "<image>\\nDove?"},
{"from": "gpt", "value": "A Bari."}]}``. ``image`` may be a list; a text-only row has none. A
``.json`` file is one list of rows, a ``.jsonl`` file has one row per line; both are streamed.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.errors import SHOWN_REASON, UserError, shown
from ndino.common.files import atomic_file
from ndino.common.images import ImageFaultError, find_image
from ndino.common.options import need_folder
from ndino.common.parsing import NoListError, list_items, parse_row
from ndino.formats.prompts import IMAGE_TOKEN, MARKERS, Role, Turn, marker_in

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_REPAIR = "repair or remove the line"
ROLES: dict[str, Role] = {"human": "user", "gpt": "assistant"}  # LLaVA JSON's speakers


class ConversationError(UserError):
    """A row that cannot be used: ``FILE row N: reason (remedy: REMEDY)``.

    Rows (in a .jsonl: lines) count from 1; a ``row`` of 0 stands for the whole file.
    """

    def __init__(self, path: Path, row: int, reason: str, remedy: str) -> None:
        where = f"{path} row {row}" if row else f"{path}"
        super().__init__(f"{where}: {reason} (remedy: {remedy})")
        self.path, self.row, self.reason, self.remedy = path, row, reason, remedy


@dataclass(frozen=True)
class Conversation:
    """One valid row: ``images`` are file names as written, one for each ``<image>`` in the user's turns."""

    id: str
    images: tuple[str, ...]
    turns: tuple[Turn, ...]
    row: int


class _Fault(Exception):
    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


def read_conversations(
    path: Path, *, image_folder: Path | None = None, rejects: list[ConversationError] | None = None
) -> Iterator[Conversation]:
    """Read and check a LLaVA JSON or JSONL file without holding it in memory.

    Args:
        image_folder: if given, every image must be a file there (it is not opened).
        rejects: if given, invalid rows are appended here and skipped; otherwise the first one is raised.

    Raises:
        ConversationError: a row is invalid; or, even with ``rejects``, the file is not a list of rows or its
            JSON is broken somewhere, since the rows after that cannot be found.
        OSError: the file cannot be read.
    """
    rows = _read_lines(path) if _is_jsonl(path) else _read_list(path)
    for row, record in rows:
        try:
            if isinstance(record, _Fault):
                raise record
            conversation = _check(record, row)
            if image_folder is not None:
                _check_files(conversation.images, image_folder)
        except _Fault as fault:
            error = ConversationError(path, row, fault.reason, fault.remedy)
            if rejects is None:
                raise error from None
            rejects.append(error)
        else:
            yield conversation


def read_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows as they are in the file, unchecked, with their numbers; those that are no object are left out.

    Raises:
        ConversationError: the file is not a list of rows or its JSON is broken.
        OSError: the file cannot be read.
    """
    for row, record in _read_lines(path) if _is_jsonl(path) else _read_list(path):
        if isinstance(record, dict):
            yield row, record


def is_text_only(path: Path) -> bool:
    """Whether the file has rows, and none of them names an image; reads as far as the first that does.

    Raises:
        ConversationError, OSError: as `read_records`.
    """
    empty = True
    for _, record in read_records(path):
        if record.get("image") is not None:
            return False
        empty = False
    return not empty


def need_images(path: Path, folder: Path, remedy: str) -> None:
    """Check that the folder with the images of a file is there; rows of text alone need none.

    Raises:
        UsageError: it is not there.
        ConversationError, OSError: it is not there, and the rows cannot be read.
    """
    if not folder.is_dir() and not is_text_only(path):
        need_folder(folder, remedy)


def write_conversations(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """Write rows to a ``.json`` or ``.jsonl`` file, atomically.

    Returns:
        The number of rows.

    Raises:
        ConversationError: `read_conversations` would reject a row; an existing file is unchanged.
        OSError: the file cannot be written.
    """
    before, between, after = ("", "\n", "\n") if _is_jsonl(path) else ("[\n", ",\n", "\n]\n")
    count = 0
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(before)
        for count, record in enumerate(records, start=1):
            try:
                _check(record, count)
            except _Fault as fault:
                raise ConversationError(path, count, fault.reason, fault.remedy) from None
            file.write((between if count > 1 else "") + json.dumps(record, ensure_ascii=False))
        file.write(after)
    return count


def fault_of(record: Any) -> str | None:
    """Why `read_conversations` would reject this row; None for a valid one."""
    try:
        _check(record, 0)
    except _Fault as fault:
        return fault.reason
    return None


def _is_jsonl(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in (".json", ".jsonl"):
        raise ConversationError(path, 0, f"unknown file type {path.suffix!r}", "name it .json or .jsonl")
    return suffix == ".jsonl"


def _read_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for row, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield row, parse_row(line)
            except UnicodeDecodeError as error:
                if row == 1 and line.startswith(UTF_16):
                    raise ConversationError(path, 0, "is UTF-16 text", "save it as UTF-8") from error
                byte = error.object[error.start]
                yield row, _Fault(f"broken JSON: byte 0x{byte:02x} is not UTF-8", "save the file as UTF-8")
            except json.JSONDecodeError as error:
                # Its own text says line 1, whichever line of the file this is.
                yield row, _Fault(f"broken JSON at column {error.colno}: {error.msg}", _REPAIR)
            except ValueError as error:
                yield row, _Fault(f"broken JSON: {shown(error, SHOWN_REASON)}", _REPAIR)


def _read_list(path: Path) -> Iterator[tuple[int, Any]]:
    row = 0
    with path.open("rb") as file:
        if file.read(len(UTF_16[0])) in UTF_16:
            raise ConversationError(path, 0, "is UTF-16 text", "save it as UTF-8")
        file.seek(0)
        try:
            for row, record in enumerate(list_items(file), start=1):
                yield row, record
        except NoListError as error:
            raise ConversationError(
                path, 0, "expected a list of rows", "name a file with one row per line .jsonl"
            ) from error
        except UnicodeDecodeError as error:
            reason = f"broken JSON: byte 0x{error.object[error.start]:02x} is not UTF-8"
            raise ConversationError(path, row + 1, reason, "save the file as UTF-8") from error
        except ValueError as error:
            raise ConversationError(path, row + 1, f"broken JSON: {error}", "write the file again") from error


def _check(record: Any, row: int) -> Conversation:
    if not isinstance(record, dict):
        raise _Fault(f"expected an object, found {type(record).__name__}", 'see "Rows" in docs/training.md')
    identity = record.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
        raise _Fault("no id", "give every row an id")
    images = _images(record.get("image"))
    turns = _turns(record.get("conversations"))
    found = sum(turn.text.count(IMAGE_TOKEN) for turn in turns)
    if found != len(images):
        raise _Fault(f"{found} {IMAGE_TOKEN} but {len(images)} image(s)", "write one for each image")
    return Conversation(str(identity), images, turns, row)


def _images(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    images = [value] if isinstance(value, str) else value
    if not isinstance(images, list) or not images:
        raise _Fault("image is neither a file name nor a list of them", "a text-only row has no image field")
    return tuple(_text(image, "an image's file name") for image in images)


def _turns(value: Any) -> tuple[Turn, ...]:
    if not isinstance(value, list) or not value:
        raise _Fault("no conversations", "give the row a human and a gpt message")
    turns = []
    for position, message in enumerate(value):
        speaker = message.get("from") if isinstance(message, dict) else None
        if not isinstance(speaker, str) or speaker not in ROLES:
            raise _Fault(f"message {position + 1} is from {shown(repr(speaker))}", "use human and gpt")
        expected = "gpt" if position % 2 else "human"
        if speaker != expected:
            raise _Fault(f"message {position + 1} is from {speaker}", f"it must be from {expected}")
        text = _text(message.get("value"), f"message {position + 1}")
        if (marker := marker_in(text, MARKERS)) is not None:
            raise _Fault(f"message {position + 1} contains the marker {marker}", "take it out")
        if speaker == "gpt" and IMAGE_TOKEN in text:
            raise _Fault(f"message {position + 1} of gpt holds {IMAGE_TOKEN}", "move it to a human message")
        turns.append(Turn(ROLES[speaker], text))
    if len(turns) % 2:
        raise _Fault("the last message is from human", "end with gpt's answer")
    return tuple(turns)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Fault(f"{what} is empty or not text", "fill it in or remove the row")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Fault(f"{what} holds half of a surrogate pair", "write the text as UTF-8") from None
    return value


def _check_files(images: Sequence[str], folder: Path) -> None:
    for image in images:
        try:
            find_image(image, folder)
        except ImageFaultError as error:
            raise _Fault(error.reason, error.remedy) from error
