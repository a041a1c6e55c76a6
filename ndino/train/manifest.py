"""Parts of the manifest that is written beside every model: a run's identity, versions, peak memory."""

from __future__ import annotations

import json
import platform
import resource
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from ndino.common.files import WEIGHTS, fingerprint, sha256_of
from ndino.common.provenance import commit, versions
from ndino.formats.recipes import NOT_IN_IDENTITY, Recipe

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
NATIVE = "native"  # the engine of a run whose identity names none
FOLDERS = "start_folders"  # in an identity, for messages: the folders in "start"; they may move
SHOWN_DIGITS = 8  # of a hash


def identity(recipe: Recipe, data: Path, start: dict[str, Path]) -> dict[str, Any]:
    """What a run is: recipe, data and starting weights, in JSON's types; `differences` compares two.

    ``start`` maps a role ("model", or "language_model" and "vision_tower") to its folder.
    """
    identity = {
        "recipe": asdict(recipe),
        "data": {"file": data.name, "sha256": sha256_of(data)},
        "start": {role: fingerprint(folder, WEIGHTS) for role, folder in start.items()},
        FOLDERS: {role: str(folder) for role, folder in start.items()},
    }
    # Through JSON, so that it equals what is read back from run.json: tuples become lists.
    return json.loads(json.dumps(identity))


def differences(held: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """What two identities differ in, of all that the trained weights depend on; empty for one run.

    Both values are named. The recipe in ``held`` may be of an earlier version: a field that it lacks has its
    default.
    """
    held, run = {"engine": NATIVE, **held}, {"engine": NATIVE, **run}
    if "recipe" in held and held["engine"] == NATIVE:
        # Before this field, the native engine averaged over tokens.
        held = {**held, "recipe": {"loss_average": "token", **held["recipe"]}}
    found = []
    for key in (key for key in run if key != FOLDERS):
        ours, theirs = _what_counts(key, run[key]), _what_counts(key, held.get(key))
        if ours != theirs:
            found.append(f"{key} ({_told(key, held, theirs, run, ours)})")
    return found


def _told(key: str, held: Mapping[str, Any], theirs: Any, run: Mapping[str, Any], ours: Any) -> str:
    """The two values of a part of an identity, where they differ."""
    if key == "data":
        return f"{_data(held)}, now {_data(run)}"
    if not isinstance(ours, dict):
        return f"{theirs}, now {ours}"
    theirs = theirs or {}
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    if key == "start":
        return "; ".join(f"{name} {_folder(held, name)}, now {_folder(run, name)}" for name in names)
    before, now = _complete(held.get("recipe")), _complete(run.get("recipe"))
    if "loss_average" in names and before["loss_average"] == now["loss_average"]:
        # Then the micro-batches are what differs (`_what_counts`).
        names[names.index("loss_average")] = size = "per_device_batch"
        theirs, ours = {**theirs, size: before.get(size)}, {**ours, size: now.get(size)}
    return "; ".join(f"{name} {theirs.get(name)}, now {ours.get(name)}" for name in names)


def _complete(recipe: Mapping[str, Any] | None) -> dict[str, Any]:
    """A recipe in which a field that an earlier version lacks has its default."""
    return {**_DEFAULTS, **(recipe or {})}


def _data(run: Mapping[str, Any]) -> str:
    data = run.get("data", {})
    return f"{data.get('file')} with sha256 {str(data.get('sha256'))[:SHOWN_DIGITS]}"


def _folder(run: Mapping[str, Any], role: str) -> str:
    """The folder that a run starts from in this role, which earlier versions did not keep, and its hash."""
    if (weights := run.get("start", {}).get(role)) is None:
        return "none"
    folders = run.get(FOLDERS)
    folder = folders.get(role) if isinstance(folders, dict) else None
    digits = str(weights)[:SHOWN_DIGITS]
    return digits if folder is None else f"{folder} with weights {digits}"


def _what_counts(key: str, value: Any) -> Any:
    if key == "data" and value is not None:
        return {name: part for name, part in value.items() if name != "file"}
    if key == "recipe":
        complete = _complete(value)
        # The micro-batches that a step consists of are the same on any number of ranks, but not for another
        # per_device_batch. A single one has one average, by either name.
        size = complete.get("per_device_batch")
        if size == complete.get("effective_batch"):
            complete["loss_average"] = "token"
        elif complete["loss_average"] == "micro_batch":
            complete["loss_average"] = f"micro_batch of {size}"
        return {name: part for name, part in complete.items() if name not in NOT_IN_IDENTITY}
    return value


_DEFAULTS = {
    field.name: json.loads(json.dumps(field.default))
    for field in fields(Recipe)
    if field.default is not MISSING
}


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
