"""Which index a run uses, in its ``index.json``: from the first checkpoint on, always the same rows.

The order of samples depends on which rows are usable, so a resumed run must not get others. Their images are
not part of an index's key; a few of them are compared, to notice a folder whose images were replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from transformers import LlavaNextProcessor

from ndino.common.checksums import checksums
from ndino.common.errors import reason_of
from ndino.common.files import write_json
from ndino.common.parsing import read_json
from ndino.train.checkpoints import newest_complete_checkpoint
from ndino.train.health.ranks import from_first_rank
from ndino.train.rows.building import find_or_build, index_key, set_aside
from ndino.train.rows.damage import NOT_WRITTEN, damaged_rows
from ndino.train.rows.index import META, RowIndex, open_index, read_meta
from ndino.train.stage import REJECTS, Stage, StageError, StageStopped

RECORD = "index.json"  # in the run folder
COMPARED = 100  # images of a run that are compared when it is resumed: a second's work
# A network file system may show a new folder to other nodes only after a while.
VISIBLE_SECONDS = 120
_ANOTHER = "choose another --out to start over"


@dataclass(frozen=True)
class Record:
    """Which index a run began with.

    Attributes:
        folder: where it is.
        rows: its `RowIndex.digest`.
        images: CRC-32 of some of its images' files, by their names in the data.
    """

    folder: str
    rows: str
    images: Mapping[str, int]


def stage_index(
    stage: Stage, processor: LlavaNextProcessor, *, stopped: Callable[[], bool] | None = None
) -> RowIndex:
    """The index of a stage's data. Every rank must call this; the first one builds it, the others wait.

    A run with a checkpoint keeps the index that it began with, so that the order of samples stays the same.

    Args:
        stopped: whether to stop indexing; rank 0 asks before each row. What was indexed is kept.

    Raises:
        StageError: the data cannot be read or indexed; or they have other usable rows or other images than
            when the run began.
        StageStopped: ``stopped`` said so on rank 0; it is raised on every rank.
    """

    def check_stop() -> None:
        if stopped is not None and stopped():
            raise StageStopped(f"{stage.out}: stopped while indexing")

    folder = Path(from_first_rank(lambda: str(_index_of_run(stage, processor, check_stop))))
    patience = time.monotonic() + VISIBLE_SECONDS
    while not (folder / META).exists() and time.monotonic() < patience:
        time.sleep(1)
    return open_index(folder)


def _index_of_run(stage: Stage, processor: LlavaNextProcessor, on_row: Callable[[], object]) -> Path:
    # Without a checkpoint nothing depends on the order of samples yet.
    began = None if newest_complete_checkpoint(stage.out) is None else _record_of(stage.out)
    inputs = (stage.data, stage.image_folder, processor, stage.recipe)
    key = index_key(*inputs)
    index = None if began is None else _as_begun(began, key)
    if index is None:
        index = open_index(find_or_build(key, *inputs, beside=stage.out, on_row=on_row))
    if began is not None and began.rows != index.digest:
        raise StageError(
            f"{stage.out}: its data had other usable rows when the run began, see {stage.out / REJECTS} "
            f"(remedy: {_ANOTHER})"
        )
    images = _some_images(index, stage.image_folder)
    if began is not None:
        # Those of damaged rows may have been repaired: no step was trained on them.
        repaired = {name for place in damaged_rows(index, stage.out) for name in index[place].images}
        _require_same_images(began.images, images, stage.image_folder, may_differ=repaired)
        images = {**images, **began.images}
    stage.out.mkdir(parents=True, exist_ok=True)
    write_json(stage.out / RECORD, asdict(Record(str(index.folder.resolve()), index.digest, images)))
    return index.folder


def _record_of(out: Path) -> Record | None:
    path = out / RECORD
    try:
        held = read_json(path)
        record = Record(held["folder"], held["rows"], held.get("images", {}))  # an earlier version had none
        if isinstance(record.folder, str) and isinstance(record.rows, str) and _are_checksums(record.images):
            return record
        reason = NOT_WRITTEN
    except FileNotFoundError:
        print(f"{path}: is missing; the run resumes with the rows that are usable now", flush=True)
        return None
    except ValueError as error:
        reason = reason_of(error)
    except (TypeError, KeyError, AttributeError):
        reason = NOT_WRITTEN
    raise StageError(
        f"{path}: damaged: {reason} (remedy: remove it if neither data nor images have changed since the run "
        f"began, else {_ANOTHER})"
    )


def _are_checksums(images: object) -> bool:
    return isinstance(images, dict) and all(isinstance(crc, int) for crc in images.values())


def _as_begun(began: Record, key: Mapping[str, object]) -> RowIndex | None:
    """The index that a run began with, if it is still there and sound and has the same rows."""
    folder = Path(began.folder)
    if not (folder / META).is_file() or set_aside(folder):
        return None
    # Not for the same rows rebuilt by other code: run.json would not notice that.
    if not read_meta(folder).items() >= key.items():
        return None
    index = open_index(folder)
    return index if index.digest == began.rows else None


def _some_images(index: RowIndex, folder: Path) -> dict[str, int]:
    """Checksums of up to `COMPARED` images' files, from rows at equal distances; no unreadable ones."""
    places = np.linspace(0, len(index) - 1, min(COMPARED, len(index))).astype(int).tolist()
    names = dict.fromkeys(name for place in places for name in index[place].images[:1])
    readable = list(_readable(names, folder))
    return dict(zip(readable, checksums([folder / name for name in readable]), strict=True))


def _readable(names: Iterable[str], folder: Path) -> Iterable[str]:
    for name in names:
        try:
            (folder / name).open("rb").close()
        except OSError:
            continue  # `ndino.train.rows.damage` is for these
        yield name


def _require_same_images(
    began: Mapping[str, int], now: Mapping[str, int], folder: Path, *, may_differ: set[str]
) -> None:
    both = (began.keys() & now.keys()) - may_differ
    changed = sorted(name for name in both if began[name] != now[name])
    if changed:
        raise StageError(
            f"{folder / changed[0]}: is not the file that it was when the run began, {len(changed)} of "
            f"{len(both)} images compared are not (remedy: put the old images back, or {_ANOTHER})"
        )
