"""What an answer, a score and a perplexity depend on. This is the one place that says so.

A result's `Depends` has two halves: ``answers``, which is what lets the model answer (weights, software,
device), and ``task``, which is what it is asked and how that is scored. Their hash is the result's key, and
both are written beside the result, so that a stale one can say what has changed. What makes no difference
stays out of it: batch sizes, the number of processes, the folders' paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ndino.common.files import key_of
from ndino.common.parsing import read_json
from ndino.common.provenance import commit, versions
from ndino.evaluation.models import ENDPOINT, Backend, Model

Depends = Mapping[str, Mapping[str, Any]]

# The image processor is another one where torchvision is installed; Pillow decodes and scales.
PACKAGES = ("torch", "torchvision", "transformers", "tokenizers", "lmms_eval", "pillow")
QUANTISED = {"load_in_4bit", "load_in_8bit"}
# Arguments of a backend that say where and how fast it answers, or that are stated by themselves.
WITHOUT_EFFECT = {
    *("pretrained", "model", "answers", "batch_size", "device", "device_map", "dtype"),
    *("tensor_parallel_size", "data_parallel_size", "gpu_memory_utilization", "max_num_seqs"),
}
# A digest says nothing to a reader.
_DIGEST = re.compile(r"[0-9a-f]{16,64}")
_UNRECORDED = "an earlier version made it, which did not record what it depends on"


def answers_depend_on(model: Model, backend: Backend, wrapper: str) -> dict[str, Any]:
    """What a model's answers depend on, besides the questions; JSON values by name.

    Args:
        wrapper: identity of the code that asks the model, such as a name with a version.
    """
    if backend.kind == ENDPOINT:
        # The rest is the server's, which does not say it.
        stated = {"model": model.fingerprint, "backend": backend.kind, "wrapper": wrapper, "device": "server"}
        return {**stated, **versions(("lmms_eval", "pillow"))}
    given = arguments_of(backend)
    quantised = any(given.get(name, "").lower() == "true" for name in QUANTISED)
    return {
        **(model.parts or {"model": model.fingerprint}),
        "backend": backend.kind,
        "arguments": {name: given[name] for name in sorted(given) if name not in WITHOUT_EFFECT},
        "wrapper": wrapper,
        "device": device_kind(given),
        "dtype": _dtype(model, given),
        **versions((*PACKAGES, "bitsandbytes") if quantised else PACKAGES),
    }


def made_with(device: str, **more: Any) -> dict[str, Any]:
    """What is stated beside a result without being part of its key: our commit, the GPU, and ``more``."""
    import torch

    gpu = torch.cuda.get_device_name() if device == "cuda" and torch.cuda.is_available() else None
    return {**versions(["ndino"]), "commit": commit(), "gpu": gpu, **more}


def result_key(depends: Depends) -> str:
    """The key of a result: equal keys mean equal results."""
    return key_of(json.dumps(depends, sort_keys=True))


def what_changed(before: Depends | None, now: Depends, data: Callable[[], str] = lambda: "") -> str:
    """What a stale result depended on and no longer holds, as a list for a message.

    Args:
        before: as the result states it; None where it states nothing.
        now: what the same result would depend on today.
        data: says what of the task's data has changed, which a digest does not; called where they have.
    """
    if before is None:
        return _UNRECORDED
    return ", ".join(_changes(before, now, data)) or "the way in which results are keyed"


def _changes(before: Depends, now: Depends, data: Callable[[], str]) -> Iterable[str]:
    for half in ("answers", "task"):
        old, new = before.get(half, {}), now.get(half, {})
        for name in (*new, *(name for name in old if name not in new)):
            if old.get(name) == new.get(name):
                continue
            values = [_shown(values.get(name)) for values in (old, new)]
            if name == "data" and (difference := data()):
                yield f"data ({difference})"
                continue
            yield name if "" in values else f"{name} {values[0]} → {values[1]}"


def _shown(value: Any) -> str:
    """A value for a message; empty where it is a digest."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={part}" for name, part in value.items()) or "none"
    return "none" if value is None else "" if _DIGEST.fullmatch(str(value)) else str(value)


def arguments_of(backend: Backend) -> dict[str, str]:
    """A backend's arguments by name."""
    pairs = (argument.partition("=") for argument in backend.arguments.split(",") if argument)
    return {name: value for name, _, value in pairs}


def device_kind(arguments: Mapping[str, str]) -> str:
    """``cpu``, ``cuda`` or the like: where a backend with these arguments computes."""
    import torch

    for name in ("device", "device_map"):
        kind = arguments.get(name, "").partition(":")[0]
        if kind and kind not in ("auto", "balanced", "balanced_low_0", "sequential"):
            return kind
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found.type if found else "cpu"


def _dtype(model: Model, arguments: Mapping[str, str]) -> str:
    stated = arguments.get("dtype", "auto")
    path = Path(model.path, "config.json")
    if stated != "auto" or not path.is_file():
        return stated
    config = read_json(path)
    return str(config.get("dtype") or config.get("torch_dtype") or stated)


def data_revision(folder: Path) -> str | None:
    """The commit of a data set on the hub that ``folder`` was downloaded from; None where nothing tells."""
    if folder.resolve().parent.name == "snapshots":
        return folder.resolve().name
    records = sorted((folder / ".cache" / "huggingface" / "download").rglob("*.metadata"))
    commits = {path.read_text(encoding="utf-8", errors="replace").partition("\n")[0] for path in records}
    return commits.pop() if len(commits) == 1 else None
