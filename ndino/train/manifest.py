"""Parts of the manifest that is written beside every model: a run's identity, versions, peak memory."""

from __future__ import annotations

import json
import platform
import resource
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ndino.common.files import WEIGHTS, fingerprint, sha256_of
from ndino.common.provenance import commit, versions
from ndino.formats.recipes import Recipe

PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "tokenizers",
    "numpy",
    "pillow",
    "lmms_eval",
    "deepspeed",
)


def identity(recipe: Recipe, data: Path, start: dict[str, Path]) -> dict[str, Any]:
    """What must be equal for a run to be resumed: recipe, data and starting weights, in JSON's types.

    ``start`` maps a role ("model", or "language_model" and "vision_tower") to its folder.
    """
    identity = {
        "recipe": asdict(recipe),
        "data": {"file": data.name, "sha256": sha256_of(data)},
        "start": {role: fingerprint(folder, WEIGHTS) for role, folder in start.items()},
    }
    # Through JSON, so that it equals what is read back from run.json: tuples become lists.
    return json.loads(json.dumps(identity))


def surroundings() -> dict[str, Any]:
    """Our commit, Python's version and those of the packages that can change a result."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "versions": versions(PACKAGES),
    }


def peak_rss_mb() -> float:
    """Peak resident memory of this process so far, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
