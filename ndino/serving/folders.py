"""What every export asks of a model folder."""

from __future__ import annotations

from pathlib import Path

from ndino.formats.model_kinds import weight_files
from ndino.serving.errors import ExportError


def safetensors_files(folder: Path) -> list[Path]:
    """The files of the folder's weights, whole by `ndino.formats.model_kinds.require_kind`.

    Raises:
        ExportError: they are in another format.
    """
    found = weight_files(folder)
    for path in found:
        if path.suffix != ".safetensors":
            raise ExportError(
                f"{path}: weights in this format are not exported (remedy: load the model with transformers "
                "and save it again, which writes safetensors)"
            )
    return found
