"""Which checkpoints are complete: only those may be resumed from. For both engines and any number of ranks.

A kill can come while a rank is still writing, a scratch disk may be cleaned later, and a node that dies can
leave a file of the right size full of zeros. So a finished checkpoint gets a list of its files with their
sizes and checksums, written last. Without the list, or with a file missing, of another size or with other
contents, a checkpoint is not resumed from; `settle_checkpoints` says why, and what becomes of it.

The checksum has to be quick (`ndino.common.checksums`): it is computed over the 117 GB of an 8B run.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ndino.common.checksums import checksums
from ndino.common.files import follow_umask, write_json
from ndino.common.parsing import read_json
from ndino.train.health.ending import compared_by_job
from ndino.train.resuming.distribution import Distribution, inferred
from ndino.train.stage import RefusedStartError

# In a checkpoint: its files, {"files": {name: {"bytes": 7, "crc32": 1}}, "written_by": {"kind": "zero3",
# "ranks": 8}}. An earlier version wrote {name: bytes}.
COMPLETE = "whole.json"
UNUSABLE = "unusable"  # in whole.json, in place of files: why a finished checkpoint is not to be resumed from
STATE = "trainer_state.json"  # in a checkpoint: without it transformers would start again at step 0
TRAINED = "trained.safetensors"  # in a checkpoint of a model with frozen weights: the others, and no more
PROGRESS = "progress.json"  # beside the checkpoints: how far training has got
# What a run leaves whose training has ended, in either engine: then no checkpoint is needed any more.
TRAINED_RUN = (("model", "manifest.json"), ("upstream",))
DAMAGED = "damaged-"  # put before the name of a checkpoint that is set aside


def newest_complete_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to resume a run from, by its files' sizes; None if no checkpoint of it is complete."""
    whole = {step: path for step, path in checkpoints_of(folder).items() if is_complete(path)}
    return whole[max(whole)] if whole else None


def settle_checkpoints(folder: Path) -> None:
    """Leave only checkpoints to resume from, and say in a line what is wrong with each other one.

    Contents are compared from the newest checkpoint backwards until one is sound, but those that the job has
    compared at the start of this attempt. The others are removed if a newer one is sound, or if they were
    never finished and an older one is sound. Otherwise they are renamed, because their weights may be sound.
    Only one rank may call this.

    Raises:
        RefusedStartError: checkpoints were finished and none of them is sound; nothing is changed then.
    """
    found = checkpoints_of(folder)
    faults = {step: fault for step, path in found.items() if (fault := fault_of(path)) is not None}
    newest, compared = None, compared_by_job(folder)
    for step in sorted(found.keys() - faults.keys(), reverse=True):
        if step == compared or not (damaged := damaged_files(found[step])):
            newest = step
            break
        others = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        faults[step] = f"its content is not what was written ({damaged[0]}{others})"
    if newest is None:
        _require_none_lost(folder, faults)
    for step, fault in sorted(faults.items()):
        print(f"{found[step]}: {fault}: {_put_away(found[step], newest)}", flush=True)
    if faults and newest is None:
        print(f"{folder}: no other checkpoint: starting over", flush=True)


def require_one_usable(folder: Path) -> None:
    """Check that a run which has finished checkpoints can be resumed from one, by their files' sizes.

    Raises:
        RefusedStartError: it has finished checkpoints, and all of them are damaged.
        OSError: as `is_complete`.
    """
    faults = {step: fault_of(path) for step, path in checkpoints_of(folder).items()}
    if None not in faults.values():
        _require_none_lost(folder, faults)


def _require_none_lost(folder: Path, faults: Mapping[int, str | None]) -> None:
    """Refuse to start over if one of these checkpoints, none of which can be used, had been finished."""
    if any(all((folder / name).exists() for name in names) for names in TRAINED_RUN):
        return
    found = checkpoints_of(folder)
    # One that was not finished, or whose training diverged, is nothing to put back.
    lost = [step for step in faults if (found[step] / COMPLETE).exists() and not _unusable(found[step])]
    if lost:
        newest = max(lost)
        others = f", and so is every older one ({len(lost) - 1})" if len(lost) > 1 else ""
        raise RefusedStartError(
            f"{found[newest]}: damaged: {faults[newest]}{others}; training does not start over by itself "
            f"(remedy: put a good copy of a checkpoint back under its name in {folder}, or give another "
            "--out to start over)"
        )


def _put_away(checkpoint: Path, newest: int | None) -> str:
    """Remove or rename a checkpoint, and say which; ``newest`` is the step of the one to resume from."""
    unfinished = not (checkpoint / COMPLETE).exists()
    if _unusable(checkpoint) or (newest is not None and (unfinished or step_of(checkpoint) < newest)):
        shutil.rmtree(checkpoint)
        return "removed"
    # Under a name that neither engine resumes from.
    name, number = f"{DAMAGED}{checkpoint.name}", 1
    while checkpoint.with_name(name).exists():
        number += 1
        name = f"{DAMAGED}{checkpoint.name}-{number}"
    os.replace(checkpoint, checkpoint.with_name(name))
    return f"passed over, renamed to {name} (remove it when you do not need it)"


def mark_complete(checkpoint: Path) -> None:
    """Declare a checkpoint complete with the files that are in it now."""
    follow_umask(checkpoint)
    paths = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != COMPLETE)
    names = [str(path.relative_to(checkpoint)) for path in paths]
    files = {
        name: {"bytes": path.stat().st_size, "crc32": crc}
        for name, path, crc in zip(names, paths, checksums(paths), strict=True)
    }
    content = {"files": files, "written_by": asdict(inferred(checkpoint))}
    write_json(checkpoint / COMPLETE, content)


def unmark(checkpoint: Path, why: str) -> None:
    """Declare that a checkpoint is not to be resumed from, and ``why``; the next start removes it."""
    if checkpoint.is_dir():
        write_json(checkpoint / COMPLETE, {UNUSABLE: why})


def is_complete(checkpoint: Path) -> bool:
    """Whether the checkpoint was finished and still has all its files, in their sizes.

    Raises:
        OSError: a file may not be read, or the disk fails: then it is not known.
    """
    return fault_of(checkpoint) is None


def fault_of(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be resumed from, by its list of files and their sizes; None if it can.

    Raises:
        OSError: as `is_complete`.
    """
    try:
        if (why := _unusable(checkpoint)) is not None:
            return why
        listed = {name: file["bytes"] for name, file in _listed(checkpoint).items()}
    except (FileNotFoundError, NotADirectoryError):
        return f"was not finished (it has no {COMPLETE})"
    except (ValueError, AttributeError, TypeError, KeyError):
        return f"its {COMPLETE} is broken"
    for name, size in (dict.fromkeys([STATE]) | listed).items():
        try:
            found = (checkpoint / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return f"has no {name}"
        if size is None:
            return f"{name} is not among the files of its {COMPLETE}"
        if found != size:
            return f"{name} has {found} bytes of {size}"
    return None


def _unusable(checkpoint: Path) -> str | None:
    try:
        content = _content(checkpoint)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    why = content.get(UNUSABLE) if isinstance(content, dict) else None
    return why if isinstance(why, str) else None


def damaged_files(checkpoint: Path) -> list[str]:
    """Names of a complete checkpoint's files whose contents are not those that were written."""
    wanted = {name: file["crc32"] for name, file in _listed(checkpoint).items() if "crc32" in file}
    found = checksums([checkpoint / name for name in wanted])
    return [name for name, crc in zip(wanted, found, strict=True) if crc != wanted[name]]


def written_by(checkpoint: Path) -> Distribution:
    """How the ranks that wrote a complete checkpoint shared the model."""
    content = _content(checkpoint)
    record = content.get("written_by")
    return Distribution(**record) if isinstance(record, dict) else inferred(checkpoint)


def _listed(checkpoint: Path) -> dict[str, dict[str, Any]]:
    content = _content(checkpoint)
    if "files" in content and isinstance(content["files"], dict):
        return content["files"]
    return {name: {"bytes": size} for name, size in content.items()}


def _content(checkpoint: Path) -> Any:
    return read_json(checkpoint / COMPLETE)


def step_of(checkpoint: Path | None) -> int:
    """The step after which a checkpoint was written; 0 for None."""
    return int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0


def checkpoints_of(folder: Path) -> dict[int, Path]:
    """All checkpoint folders of a run by step, complete or not."""
    found = ((re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in folder.glob("checkpoint-*"))
    return {int(match[1]): path for match, path in found if match}
