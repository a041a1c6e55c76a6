"""What every export asks of a model folder."""

from __future__ import annotations

import re
import shlex
import unicodedata
from pathlib import Path

from ndino.formats.model_kinds import benchmarks_beside, model_name, weight_files
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


def served_name(model: Path) -> str:
    """What servers call a model: Ollama takes ASCII letters, digits and ``._-``, and no capital ones."""
    plain = unicodedata.normalize("NFKD", model_name(model)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._-]+", "-", plain).strip("._-") or "model"


def scores_lines(model: Path, port: int) -> list[str]:
    """The command that scores a model behind a server here, on its run's benchmarks if there are any."""
    data = shlex.quote(str(benchmarks_beside(model) or Path("data/benchmarks")))
    asked = f"ENDPOINT=http://127.0.0.1:{port}/v1 MODEL={served_name(model)}"
    return ["its scores:", f"  make eval {asked} DATA={data}"]
