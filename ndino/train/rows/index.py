"""The index of a stage's data: every usable row encoded once, on disk, opened without being read.

Tokenising and opening image headers takes minutes for 100,000 rows. It is done by one process, and the
result is shared: by all ranks of a job, which therefore cannot disagree about the data, by restarts, by both
engines, and by all stages that encode the same data alike. It is in the folder ``.index`` beside the data
file, or, where that cannot be written, beside the run folder. Its Arrow files are mapped into memory, not
loaded.

An index is a folder ``NAME-KEY-N``. KEY stands for everything that its content depends on (`index_key`); the
images' content is not part of it, as that would take longer to read than to index. N counts rebuilds: rows
rejected for their image are tried again at each start, and once one can be used a new index is made. The old
one is left alone, since another job may be using it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from tqdm import tqdm
from transformers import LlavaNextProcessor

from ndino.common.caches import can_write
from ndino.common.errors import reason_of
from ndino.common.files import atomic_file, key_of, sha256_of, write_json
from ndino.common.locks import exclusive_lock
from ndino.formats.image_files import ImageHeader, read_headers
from ndino.formats.llava_json import Conversation, ConversationError, read_conversations
from ndino.formats.prompts import IGNORE_INDEX, PromptError
from ndino.formats.recipes import Recipe
from ndino.train.checkpoints import newest_complete_checkpoint
from ndino.train.rows.encoding import EncodedRow, cut_row, encode
from ndino.train.stage import REJECTS, Stage, StageError

FOLDER = ".index"
META = "index.json"
RECORD = "index.json"  # in the run folder: which index the run uses
SHARD_ROWS = 20_000  # rows of the data in one Arrow file; a build that was killed repeats at most so many
# A network file system may show a new folder to other nodes only after a while.
VISIBLE_SECONDS = 120
LOCK_WAIT_NOTICE = "another process is indexing this data; waiting for it"
# What encoding depends on besides the data: fields of the recipe, and the code of these modules.
RECIPE_FIELDS = ("prompt", "supervision", "plain_ending", "max_length", "grid_pinpoints")
CODE = ("formats/prompts.py", "formats/llava_json.py", "train/images.py", "train/rows/encoding.py")
PACKAGES = ("tokenizers", "transformers")


@dataclass(frozen=True)
class RejectedRow:
    """A row that is not trained on: its number, and the reason with its remedy.

    ``image`` is set if the reason is an image, which may be repaired without any change of the data file.
    """

    row: int
    reason: str
    image: str | None = None


@dataclass(frozen=True)
class RowIndex:
    """An opened index: a sequence of `EncodedRow`.

    Attributes:
        folder: where it is.
        rejects: the rows that cannot be used, in the data's order.
    """

    folder: Path
    rejects: tuple[RejectedRow, ...]
    table: Any  # the datasets.Dataset over the Arrow files

    @cached_property
    def lengths(self) -> np.ndarray:
        """int32 ``(rows,)``: tokens of each sample, images counted as their features."""
        return self._column("length")

    @cached_property
    def supervised(self) -> np.ndarray:
        """int32 ``(rows,)``: labels of each sample that the loss uses."""
        return self._column("supervised")

    @cached_property
    def row_numbers(self) -> np.ndarray:
        """int64 ``(rows,)``: each row's number in the data file, from 1."""
        return self._column("row")

    @property
    def has_images(self) -> bool:
        """Whether any row has an image."""
        return any(len(chunk.flatten()) for chunk in self.table.data.column("images").chunks)

    @property
    def digest(self) -> str:
        """Which rows are usable and how long they are, as a hash."""
        return hashlib.sha256(self.row_numbers.tobytes() + self.lengths.tobytes()).hexdigest()[:32]

    def _column(self, name: str) -> np.ndarray:
        return np.asarray(self.table.data.column(name).to_numpy())

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, position: int) -> EncodedRow:
        if not 0 <= position < len(self):
            raise IndexError(f"row {position} of {len(self)}")
        # By Arrow's own objects: datasets would make a Python integer of each token first.
        row = self.table.data.fast_slice(position, 1)
        cells = {name: row.column(name)[0] for name in row.column_names}
        ids = cells["input_ids"].values.to_numpy()
        heights, widths = cells["heights"].as_py(), cells["widths"].as_py()
        return EncodedRow(
            row=cells["row"].as_py(),
            images=tuple(cells["images"].as_py()),
            sizes=tuple(zip(heights, widths, strict=True)),
            input_ids=ids,
            labels=np.where(cells["is_label"].values.to_numpy(zero_copy_only=False), ids, IGNORE_INDEX),
            image_tokens=tuple(cells["image_tokens"].as_py()),
            length=cells["length"].as_py(),
            supervised=cells["supervised"].as_py(),
        )

    def lines(self, data: Path) -> list[str]:
        """The rejects as lines ``FILE row N: reason``; ``data`` is the file's name in them."""
        return [f"{data} row {reject.row}: {reject.reason}" for reject in self.rejects]


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
    return json.loads(
        json.dumps(
            {
                "data": sha256_of(data),
                "images": str(image_folder.resolve()),
                "tokenizer": key_of(tokenizer),
                "recipe": {name: getattr(recipe, name) for name in RECIPE_FIELDS},
                "side": image_processor.crop_size["height"],
                "patch": processor.patch_size,
                "code": {name: sha256_of(package / name) for name in (*CODE, "train/rows/index.py")},
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
    name = f"{data.stem}-{key_of(key)}"
    places = [data.absolute().parent / FOLDER, beside.absolute().parent / FOLDER]
    found = next((index for place in places if (index := _newest(place, name)) is not None), None)
    if found is not None and not _repaired(found, image_folder):
        return found
    place = next((place for place in places if can_write(place)), places[-1])
    place.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(place / f".{name}.lock", LOCK_WAIT_NOTICE, wait=_say):
        newest = _newest(place, name)
        if newest is not None and newest != found:  # the process that held the lock has built it
            return newest
        number = int(newest.name.rpartition("-")[2]) + 1 if newest is not None else 1
        folder = place / f"{name}-{number}"
        _build(folder, data, image_folder, processor, recipe, key)
    return folder


def stage_index(stage: Stage, processor: LlavaNextProcessor) -> RowIndex:
    """The index of a stage's data. Every rank must call this; the first one builds it, the others wait.

    A run with a checkpoint keeps the index that it began with, so that the order of samples stays the same.

    Raises:
        StageError: the data cannot be read or indexed, or have other usable rows than when the run began.
    """
    folder = Path(from_first_rank(lambda: str(_index_of_run(stage, processor))))
    patience = time.monotonic() + VISIBLE_SECONDS
    while not (folder / META).exists() and time.monotonic() < patience:
        time.sleep(1)
    return open_index(folder)


def from_first_rank(compute: Callable[[], str]) -> str:
    """What ``compute`` returns on rank 0, on every rank; an error there is raised on every rank.

    Raises:
        StageError: ``compute`` failed on another rank, which raises its own error.
    """
    if not dist.is_initialized():
        return compute()
    answer: list[Any] = [None, None]
    failed: Exception | None = None
    if dist.get_rank() == 0:
        try:
            answer = [compute(), None]
        except Exception as error:
            failed, answer = error, [None, reason_of(error)]
    dist.broadcast_object_list(answer, src=0)
    if failed is not None:
        raise failed
    if answer[1] is not None:
        raise StageError(f"rank 0: {answer[1]}")
    return answer[0]


def _index_of_run(stage: Stage, processor: LlavaNextProcessor) -> Path:
    record = stage.out / RECORD
    began = json.loads(record.read_text(encoding="utf-8")) if record.exists() else None
    if newest_complete_checkpoint(stage.out) is None:
        began = None  # nothing depends on the order of samples yet
    if began is not None and (Path(began["folder"]) / META).is_file():
        # Not for the same rows rebuilt by other code: run.json would not notice that.
        key = index_key(stage.data, stage.image_folder, processor, stage.recipe)
        if _meta(Path(began["folder"])).items() >= key.items():
            return Path(began["folder"])
    folder = make_index(stage.data, stage.image_folder, processor, stage.recipe, beside=stage.out)
    index = open_index(folder)
    if began is not None and began["rows"] != index.digest:
        raise StageError(
            f"{stage.out}: its data had other usable rows when the run began, see {stage.out / REJECTS} "
            "(remedy: choose another --out)"
        )
    stage.out.mkdir(parents=True, exist_ok=True)
    write_json(record, {"folder": str(folder.resolve()), "rows": index.digest})
    return folder


def _meta(folder: Path) -> dict[str, Any]:
    return json.loads((folder / META).read_text(encoding="utf-8"))


def open_index(folder: Path) -> RowIndex:
    """Open an index; its rows are mapped, not read.

    Raises:
        OSError: it is not there, or a file of it is missing.
    """
    from datasets import Dataset, concatenate_datasets

    meta = _meta(folder)
    shards = []
    rejects = [RejectedRow(**reject) for reject in meta["unreadable"]]
    for number in range(meta["shards"]):
        shards.append(Dataset.from_file(str(_shard(folder, number))))
        listed = json.loads(_rejects(folder, number).read_text(encoding="utf-8"))
        rejects += [RejectedRow(**reject) for reject in listed]
    table = concatenate_datasets(shards) if len(shards) > 1 else shards[0]
    return RowIndex(folder, tuple(sorted(rejects, key=lambda reject: reject.row)), table)


def _say(notice: str) -> None:
    print(notice, file=sys.stderr)


def _newest(place: Path, name: str) -> Path | None:
    """The newest complete index of this name."""
    numbers = []
    with contextlib.suppress(OSError):
        for path in place.glob(f"{name}-*"):
            number = path.name.rpartition("-")[2]
            if number.isdecimal() and (path / META).is_file():
                numbers.append(int(number))
    return place / f"{name}-{max(numbers)}" if numbers else None


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
            if not _shard(made, number).exists():
                _write_shard(made, number, _encoded(part, image_folder, processor, recipe, bar))
            else:
                bar.update(len(part))
            number += 1
    broken = [
        asdict(RejectedRow(error.row, f"{error.reason} (remedy: {error.remedy})")) for error in unreadable
    ]
    write_json(made / META, {"shards": number, "file": str(data), "unreadable": broken, **key})
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
) -> Iterator[EncodedRow | RejectedRow]:
    names = dict.fromkeys(image for conversation in conversations for image in conversation.images)
    headers = read_headers(names, image_folder)
    known: dict[str, ImageHeader] = {}
    for conversation in conversations:
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
            yield RejectedRow(conversation.row, str(error))


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
    # The rejects first: a shard counts as written once its Arrow file is there.
    write_json(_rejects(folder, number), [asdict(reject) for reject in rejects])
    with (
        atomic_file(_shard(folder, number)) as path,
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_stream(file, schema) as writer,
    ):
        writer.write_table(table)


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


def _shard(folder: Path, number: int) -> Path:
    return folder / f"rows-{number:05d}.arrow"


def _rejects(folder: Path, number: int) -> Path:
    return folder / f"rejects-{number:05d}.json"
