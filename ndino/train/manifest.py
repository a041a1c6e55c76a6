"""What a run was: recipe, data, parent, commits, versions, seed, loss curve. Written beside every model."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ndino.recipes import Recipe

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


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON so that the file appears whole or not at all."""
    temporary = path.with_name(path.name + ".partial")
    temporary.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def weights_fingerprint(folder: Path) -> str:
    """One sha256 over the folder's weight files."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        digest.update(sha256_of(path).encode())
    return digest.hexdigest()


def identity(recipe: Recipe, data: Path, start: dict[str, str]) -> dict[str, Any]:
    """What must be equal for a run to be continued: the recipe, the data and where the weights come from.

    ``start`` maps a role ("model", or "language_model" and "vision_tower") to the fingerprint of its weights.
    """
    return {"recipe": asdict(recipe), "data": {"file": data.name, "sha256": sha256_of(data)}, "start": start}


def surroundings() -> dict[str, Any]:
    """Commit and package versions of this run."""
    return {
        "commit": _commit(Path(__file__).parent),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def peak_rss_mb() -> float:
    """The most memory that this process has held, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _commit(folder: Path) -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
