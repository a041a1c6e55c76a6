"""A model folder to one that vLLM takes: changed files are written, the others are the same files."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.files import atomic_folder, fingerprint, write_json, write_text
from ndino.common.locks import exclusive_lock
from ndino.common.provenance import commit
from ndino.formats.model_kinds import read_json_object
from ndino.serving.errors import ExportError
from ndino.serving.folders import scores_lines, served_name
from ndino.serving.vllm.check import VllmNeeds, check_folder, weight_name
from ndino.serving.vllm.renamed import write_renamed

RECORD, FORMAT = "export.json", "vllm"


@dataclass
class ForVllm:
    """A model that vLLM takes.

    Attributes:
        folder: where it is; the model's own where it lacks nothing.
        written: whether the folder was made now.
    """

    model: Path
    folder: Path
    findings: VllmNeeds
    written: bool

    def lines(self) -> list[str]:
        """What to tell the user: what was mended, and how to serve it."""
        found = self.findings
        if found.mended:
            done = "written" if self.written else "is whole: nothing to do"
            lines = [f"{self.folder}: {done}; mended in it:", *(f"  {line}" for line in found.mended)]
        else:
            lines = [f"{self.model}: vLLM takes it as it is"]
        lines += [f"note: {note}" for note in found.notes]
        return [
            *lines,
            "vLLM:",
            f"  vllm serve {shlex.quote(str(self.folder))} --served-model-name {served_name(self.model)} \\",
            f"    --dtype {found.dtype} --max-model-len {found.context}",
            *scores_lines(self.model, 8000),
        ]


def export(model: Path, folder: Path | None) -> ForVllm:
    """Make a folder that vLLM takes of the model folder ``model``, where that one is none itself.

    Args:
        folder: None: beside the model, ``<model>-vllm``.

    Raises:
        ExportError: vLLM cannot take the model, or the folder holds something else.
        BusyError: another process writes to the folder.
        OSError: the disk is full, or a file may not be read or written.
    """
    model = model.resolve()
    config = read_json_object(model / "config.json")
    found = check_folder(model, config)
    if not found.mended:
        return ForVllm(model, model, found, written=False)
    folder = folder or model.with_name(f"{model.name}-{FORMAT}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    busy = f"{folder.parent}: another export writes here (remedy: wait for it)"
    with exclusive_lock(folder.parent, busy):
        record = {
            "format": FORMAT,
            "source": fingerprint(model, ("*",)),
            "mended": found.mended,
            "commit": commit(),
        }
        if _is_there(folder, record):
            return ForVllm(model, folder, found, written=False)
        with atomic_folder(folder) as made:
            for path in sorted(path for path in model.iterdir() if path.is_file()):
                if path in found.renamed:
                    write_renamed(path, made / path.name, weight_name)
                elif path.name not in found.files:
                    _same_file(path, made / path.name)
            for name, content in found.files.items():
                write_text(made / name, content)
            write_json(made / RECORD, record)
    return ForVllm(model, folder, found, written=True)


def _is_there(folder: Path, record: dict[str, Any]) -> bool:
    """Whether ``folder`` is this export already.

    Raises:
        ExportError: it holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    path = folder / RECORD
    held = read_json_object(path) if path.is_file() else {}
    if any(held.get(name) != record[name] for name in ("format", "source", "mended")):
        raise ExportError(
            f"{folder}: holds something else, or an export of other weights (remedy: choose another --out, "
            "or delete that folder)"
        )
    return True


def _same_file(source: Path, target: Path) -> None:
    """A second name of the file where the disk allows it, else a copy: weights are large."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
