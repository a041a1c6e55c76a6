"""Whether a run has ended with the model that its manifest describes; for both engines."""

from __future__ import annotations

from pathlib import Path

from ndino.common.files import WEIGHTS, fingerprint
from ndino.common.parsing import read_json
from ndino.formats.damage import damaged_file
from ndino.train.stage import StageError, is_first_rank

MANIFEST = "manifest.json"
CONFIG = "config.json"


def is_published(out: Path, *, source: Path | None) -> bool:
    """Whether the run in ``out`` needs nothing any more: its manifest is there, and its model as published.

    Says in a line what is wrong with a model that is to be published again.

    Args:
        source: what it can be published from again: the newest complete checkpoint, or the upstream engine's
            result; None if there is nothing.

    Raises:
        StageError: the model is damaged, and ``source`` is None.
        OSError: a file may not be read.
    """
    model = out / "model"
    if not (out / MANIFEST).exists() or not model.exists():
        return False
    if (fault := fault_of_model(out)) is None:
        return True
    if source is None:
        raise StageError(
            f"{model}: {fault}, and {out} has no complete checkpoint to publish it from again (remedy: put a "
            "good copy of the model back, or remove the folder or choose another --out to train again)"
        )
    if is_first_rank():
        print(f"{model}: {fault}; it is published again from {source.name}", flush=True)
    return False


def fault_of_model(out: Path) -> str | None:
    """What is wrong with the published model of a run, None if nothing is.

    Its weights are compared with the manifest's hash of them, which earlier versions did not write. The
    hashes of large files are remembered (`fingerprint`), so this reads an unchanged model once.
    """
    model = out / "model"
    if not (model / CONFIG).exists():
        return f"has no {CONFIG}"
    if (damaged := damaged_file(model)) is not None:
        return f"{damaged.name} is damaged"
    try:
        manifest = read_json(out / MANIFEST)
        wanted = manifest.get("weights")
    except (ValueError, AttributeError):
        return f"its {MANIFEST} is broken"
    found = [path for pattern in WEIGHTS for path in model.glob(pattern)]
    if not found:
        return "its weights are missing"
    if wanted is not None and fingerprint(model, WEIGHTS) != wanted:
        return f"its weights are not those of {MANIFEST}"
    return None
