"""The index of a stage's data: every usable row encoded once, on disk, opened without being read.

Tokenising and opening image headers takes minutes for 100,000 rows. It is done by one process, and the
result is shared: by all ranks of a job, which therefore cannot disagree about the data, by restarts, by both
engines, and by all stages that encode the same data alike. It is in the folder ``.index`` beside the data
file, or, where that cannot be written, beside the run folder. Its Arrow files are mapped into memory, not
loaded.

An index is a folder ``NAME-KEY-N``. KEY stands for everything that its content depends on (`index_key`); the
images' content is not part of it, as that would take longer to read than to index. N counts rebuilds: rows
rejected for their image are tried again at each start, and once one can be used a new index is made. The old
one is left alone, since another job may be using it. One that is damaged is renamed, and made again.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from transformers import LlavaNextProcessor

from ndino.common.caches import can_write
from ndino.common.checksums import crc32_of
from ndino.common.errors import with_remedy
from ndino.common.files import atomic_file, key_of, sha256_of, write_json
from ndino.common.locks import exclusive_lock
from ndino.common.parsing import read_json
from ndino.formats.image_files import ImageHeader, read_headers
from ndino.formats.llava_json import Conversation, ConversationError, read_conversations
from ndino.formats.prompts import IGNORE_INDEX, PromptError, has_llama3_markers
from ndino.formats.recipes import Recipe
from ndino.train.rows.encoding import EncodedRow, cut_row, encode
from ndino.train.rows.index import (
    FOLDER,
    META,
    RejectedRow,
    damage_of,
    open_index,
    recipe_part,
    rejects_file,
    shard_file,
    signed,
)

DAMAGED = "damaged-"  # put before the name of an index that is set aside
SHARD_ROWS = 20_000  # rows of the data in one Arrow file; a build that was killed repeats at most so many
LOCK_WAIT_NOTICE = "another process is indexing this data; waiting for it"
# What encoding depends on besides the data and the recipe's fields: the code of these modules.
CODE = (
    "formats/prompts.py",
    "formats/chat/prompt.py",
    "formats/chat/published.py",
    "formats/llava_json.py",
    "common/images/opening.py",
    "common/images/files.py",
    "train/images.py",
    "train/rows/encoding.py",
    "train/rows/building.py",
)
PACKAGES = ("tokenizers", "transformers")


def index_key(
    data: Path, image_folder: Path, processor: LlavaNextProcessor, recipe: Recipe
) -> dict[str, Any]:
    """Everything that an index depends on, in JSON's types.

    The data file is hashed whole: a second for each gigabyte, which a run's identity spends as well. Size and
    time of change would be quicker, but copying, unpacking and some network file systems do not keep them.
    """
    package = Path(__file__).parents[2]
    image_processor = processor.image_processor
    # Padding and truncation come before this in the text. Each call of the tokenizer leaves its own behind.
    tokenizer = processor.tokenizer.backend_tokenizer.to_str().partition('"added_tokens"')[2]
    special = processor.tokenizer.special_tokens_map  # LLaMA 3's plain and llama3 prompts have their own
    template = [processor.chat_template, special] if recipe.prompt == "chat" else [special]
    templated = recipe.prompt == "chat" or not has_llama3_markers(processor.tokenizer)
    return json.loads(
        json.dumps(
            {
                **({"template": key_of(template)} if templated else {}),
                "data": sha256_of(data),
                "images": str(image_folder.resolve()),
                "tokenizer": key_of(tokenizer),
                "recipe": recipe_part(recipe),
                "side": image_processor.crop_size["height"],
                "patch": processor.patch_size,
                "code": {name: sha256_of(package / name) for name in CODE},
                "packages": {name: version(name) for name in PACKAGES},
            }
        )
    )


def make_index(
    data: Path, image_folder: Path, processor: LlavaNextProcessor, recipe: Recipe, *, beside: Path
) -> Path:
    """The folder of the data's index, which is built if there is none or if a rejected image can be read now.

    To be called by one rank (`from_first_rank`). A build that was killed is resumed.

    Args:
        beside: the run folder; the index goes beside it where the data's folder cannot be written.

    Raises:
        ConversationError: the data are not a list of rows.
        OSError: the data cannot be read, or no folder can be written.
    """
    key = index_key(data, image_folder, processor, recipe)
    return find_or_build(key, data, image_folder, processor, recipe, beside=beside)


def find_or_build(
    key: dict[str, Any],
    data: Path,
    image_folder: Path,
    processor: LlavaNextProcessor,
    recipe: Recipe,
    *,
    beside: Path,
    on_row: Callable[[], object] | None = None,
) -> Path:
    """`make_index` where the key is known; ``on_row`` is called before each row, and may raise to stop."""
    name = f"{data.stem}-{key_of(key)}"
    places = [data.absolute().parent / FOLDER, beside.absolute().parent / FOLDER]
    found = next((index for place in places if (index := _newest_sound(place, name)) is not None), None)
    if found is not None and not _repaired(found, image_folder):
        return found
    place = next((place for place in places if can_write(place)), places[-1])
    place.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(place / f".{name}.lock", LOCK_WAIT_NOTICE, wait=partial(print, file=sys.stderr)):
        newest = _newest_sound(place, name)
        if newest is not None and newest != found:  # the process that held the lock has built it
            return newest
        folder = place / f"{name}-{max(_numbered(place, name), default=0) + 1}"
        _build(folder, data, image_folder, processor, recipe, key, on_row)
    return folder


def set_aside(folder: Path) -> bool:
    """Rename an index if it is damaged, with a line that says so; returns whether it is."""
    if (damage := damage_of(folder)) is None:
        return False
    aside = folder.with_name(f"{DAMAGED}{folder.name}")
    renamed = "it cannot be renamed"
    # Not removed: a job that has it open may be reading it over a network.
    with contextlib.suppress(OSError):
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(folder, aside)
        renamed = f"renamed to {aside.name} (remove it when no stage is running)"
    print(f"{folder}: damaged, another index is used or made: {damage}; {renamed}", flush=True)
    return True


def _newest_sound(place: Path, name: str) -> Path | None:
    """The newest complete index of this name; damaged ones are set aside."""
    numbers = _numbered(place, name)
    for number in sorted(numbers, reverse=True):
        if numbers[number] and not set_aside(folder := place / f"{name}-{number}"):
            return folder
    return None


def _numbered(place: Path, name: str) -> dict[int, bool]:
    """The numbers of all indexes of this name: whether each is complete."""
    found = {}
    with contextlib.suppress(OSError):
        for path in place.glob(f"*{glob.escape(name)}-*"):
            number = path.name.rpartition("-")[2]
            if number.isdecimal():
                complete = path.name == f"{name}-{number}" and (path / META).is_file()
                found[int(number)] = found.get(int(number), False) or complete
    return found


def _repaired(folder: Path, image_folder: Path) -> bool:
    """Whether an image for which a row was rejected can be read now."""
    images = [reject.image for reject in open_index(folder).rejects if reject.image is not None]
    return any(header.fault is None for header in read_headers(images, image_folder))


def _build(
    folder: Path,
    data: Path,
    image_folder: Path,
    processor: LlavaNextProcessor,
    recipe: Recipe,
    key: dict[str, Any],
    on_row: Callable[[], object] | None,
) -> None:
    """Write the index: whole shards into ``folder.partial``, which gets its name at the end."""
    made = folder.with_name(f"{folder.name}.partial")
    made.mkdir(exist_ok=True)
    unreadable: list[ConversationError] = []
    rows = read_conversations(data, rejects=unreadable)
    number = 0
    with tqdm(desc=f"Indexing {data.name}", unit=" rows", leave=False, delay=3) as bar:
        # Shards have a fixed number of rows, so that a resumed build makes the same ones. Empty data have
        # one, without rows.
        while (part := list(islice(rows, SHARD_ROWS))) or not number:
            if not _is_written(made, number):
                _write_shard(made, number, _encoded(part, image_folder, processor, recipe, bar, on_row))
            else:
                bar.update(len(part))
            number += 1
    broken = [
        asdict(RejectedRow(error.row, f"{error.reason} (remedy: {error.remedy})")) for error in unreadable
    ]
    files: dict[str, dict[str, int]] = {}
    for shard in range(number):
        files[shard_file(made, shard).name] = _recorded(made, shard)
        files[rejects_file(made, shard).name] = _measured(rejects_file(made, shard))
    meta = {"shards": number, "file": str(data), "unreadable": broken, "files": files, **key}
    write_json(made / META, signed(meta))
    try:
        os.replace(made, folder)
    except OSError:
        # Where the file system has no locks, another process may have made the same index meanwhile.
        if not (folder / META).is_file():
            raise


def _encoded(
    conversations: Sequence[Conversation],
    image_folder: Path,
    processor: LlavaNextProcessor,
    recipe: Recipe,
    bar: tqdm,
    on_row: Callable[[], object] | None,
) -> Iterator[EncodedRow | RejectedRow]:
    names = dict.fromkeys(image for conversation in conversations for image in conversation.images)
    headers = read_headers(names, image_folder)
    known: dict[str, ImageHeader] = {}
    for conversation in conversations:
        if on_row is not None:
            on_row()
        bar.update()
        while any(image not in known for image in conversation.images):
            header = next(headers)
            known[header.name] = header
        faulty = next((known[image] for image in conversation.images if known[image].fault), None)
        try:
            encoded = encode(conversation, processor.tokenizer, recipe)
            if faulty is not None:
                yield RejectedRow(conversation.row, str(faulty.fault), faulty.name)
                continue
            sizes = [known[image].size for image in conversation.images]
            yield cut_row(conversation, encoded, sizes, processor, recipe)
        except PromptError as error:
            yield RejectedRow(conversation.row, with_remedy(str(error), "correct or remove the row"))


def _write_shard(folder: Path, number: int, rows: Iterable[EncodedRow | RejectedRow]) -> None:
    import pyarrow as pa

    usable: list[EncodedRow] = []
    rejects: list[RejectedRow] = []
    for row in rows:
        if isinstance(row, EncodedRow):
            usable.append(row)
        else:
            rejects.append(row)
    schema = _features().arrow_schema
    table = pa.Table.from_pydict(
        {
            "row": [row.row for row in usable],
            "images": [row.images for row in usable],
            "heights": [[height for height, _ in row.sizes] for row in usable],
            "widths": [[width for _, width in row.sizes] for row in usable],
            "input_ids": [np.asarray(row.input_ids, dtype=np.int32) for row in usable],
            "is_label": [np.asarray(row.labels) != IGNORE_INDEX for row in usable],
            "image_tokens": [row.image_tokens for row in usable],
            "length": [row.length for row in usable],
            "supervised": [row.supervised for row in usable],
        },
        schema=schema,
    )
    with atomic_file(shard_file(folder, number)) as path:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            writer.write_table(table)
        # Before the Arrow file gets its name: a shard counts as written once that is there.
        listed = [asdict(reject) for reject in rejects]
        write_json(rejects_file(folder, number), {"rows": _measured(path), "rejects": listed})


def _is_written(folder: Path, number: int) -> bool:
    """Whether a killed build has written this shard, and it is still what was written."""
    try:
        return _measured(shard_file(folder, number)) == _recorded(folder, number)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return False


def _recorded(folder: Path, number: int) -> dict[str, int]:
    return read_json(rejects_file(folder, number))["rows"]


def _measured(path: Path) -> dict[str, int]:
    return {"bytes": path.stat().st_size, "crc32": crc32_of(path)}


def _features() -> Any:
    from datasets import Features, List, Value

    int32 = Value("int32")
    return Features(
        {
            "row": Value("int64"),
            "images": List(Value("string")),
            "heights": List(int32),
            "widths": List(int32),
            "input_ids": List(int32),
            # A label is its token's id or IGNORE_INDEX: a bit a token instead of four bytes.
            "is_label": List(Value("bool")),
            "image_tokens": List(int32),
            "length": int32,
            "supervised": int32,
        }
    )
