"""Finds the models to evaluate, checks their files and takes their fingerprints; also parses backends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError, reason_of, remedy_for, shown
from ndino.common.files import WEIGHTS, combined, digest_of
from ndino.common.hub import may_be_on_hub, model_from_hub
from ndino.common.parsing import read_json
from ndino.evaluation.errors import SetupError
from ndino.formats.model_kinds import (
    ADAPTER,
    LANGUAGE_MODEL,
    PUBLISHED,
    TOWER,
    UPSTREAM,
    ModelFolderError,
    read_json_object,
    require_finished,
    require_kind,
)

# Says which file holds which weights, where there are several.
INDEX = "*.index.json"
# The files of a model folder that an answer depends on, by what they hold; the first fitting pattern counts.
PARTS = {
    "weights": (*WEIGHTS, INDEX),
    "processor": ("processor_config.json", "preprocessor_config.json"),
    "chat template": ("chat_template*",),
    "tokenizer": (
        *("tokenizer*", "special_tokens_map.json", "added_tokens.json"),
        *("vocab*", "merges.txt"),
    ),
    "config": ("*config.json",),
}
FILES = tuple(pattern for patterns in PARTS.values() for pattern in patterns)

WHOLE = "give a whole model folder in Hugging Face format"
WHOLE_LLAVA_NEXT = "give a whole LLaVA-NeXT folder in Hugging Face format"
PROCESSORS = ("processor_config.json", "preprocessor_config.json")
_REMEDIES = {
    UPSTREAM: "convert it with `ndino convert`, and give the result",
    LANGUAGE_MODEL: WHOLE,
    TOWER: WHOLE,
    ADAPTER: "merge it into its base model and save the whole model",
    "": f"{WHOLE}, or choose --backend lmms:NAME",
}


@dataclass(frozen=True)
class Model:
    """A model to evaluate.

    Attributes:
        name: of its folder of results.
        source: what the user gave.
        path: the folder to load, or ``source`` where there is none.
        fingerprint: identity of its weights and settings.
        parts: identity of each of `PARTS` that it has.
    """

    name: str
    source: str
    path: str
    fingerprint: str
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Backend:
    """What answers: ``kind`` is hf, vllm, endpoint or a model of lmms-eval.

    ``arguments`` are its ``key=value,…``, or the address of an endpoint.
    """

    kind: str
    arguments: str = ""

    def __str__(self) -> str:
        return f"{self.kind},{self.arguments}" if self.arguments else self.kind


HF = Backend("hf")
# Its arguments are the server's address.
ENDPOINT = "endpoint"
# The variable that its key is read from; no file and no message holds it. Not OPENAI_API_KEY: a key that is
# there for another service must not be sent to any server that a command line names.
ENDPOINT_KEY = "NDINO_ENDPOINT_KEY"


def parse_backend(text: str) -> Backend:
    """Read ``hf``, ``vllm[,key=value…]`` or ``lmms:NAME[,key=value…]``.

    Raises:
        UsageError: anything else.
    """
    kind, _, arguments = text.partition(",")
    if kind in ("hf", "vllm"):
        return Backend(kind, arguments)
    if kind.startswith("lmms:") and len(kind) > len("lmms:"):
        return Backend(kind.removeprefix("lmms:"), arguments)
    raise UsageError(f"unknown backend '{text}' (remedy: hf, vllm or lmms:NAME, such as lmms:llava_hf)")


def parse_model(text: str) -> tuple[str, str]:
    """Split ``NAME=SOURCE``; a source without a name gets that of `name_of`.

    Raises:
        UsageError: there is no source.
    """
    name, separator, source = text.partition("=")
    if not source if separator else not name:
        raise UsageError(f"'{text}' names no model (remedy: a folder or a hub id, as in NAME=FOLDER)")
    if separator and name and "/" not in name and not Path(text).exists():
        return name, source
    return name_of(text), text


def name_of(source: str) -> str:
    """The name of a folder or hub id: ``runs/a/model`` and ``runs/a`` are ``a``, ``owner/b`` is ``b``."""
    return [part for part in Path(source).resolve().parts if part != "model"][-1]


def find_model(name: str, source: str, backend: Backend = HF, *, other_backends: bool = True) -> Model:
    """Find a model by `find_folder`, and take its fingerprint; arguments and errors are the same."""
    if backend.kind == ENDPOINT:
        # Nothing tells whether the server has other weights behind the same name.
        return Model(name, f"{source} at {backend.arguments}", source, f"{backend.arguments} {source}")
    folder = find_folder(source, backend, other_backends=other_backends)
    if folder is None:
        # Nothing tells whether the weights behind a mere name have changed.
        return Model(name, source, source, f"name:{source}")
    files = {path for pattern in FILES for path in folder.glob(pattern) if path.is_file()}
    digests = {path.relative_to(folder): digest_of(path) for path in files}
    parts: dict[str, dict[Path, str]] = {}
    for path, digest in digests.items():
        part = next(part for part, patterns in PARTS.items() if any(map(path.match, patterns)))
        parts.setdefault(part, {})[path] = digest
    identities = {part: combined(parts[part]) for part in PARTS if part in parts}
    return Model(name, source, str(folder.resolve()), combined(digests), identities)


def find_folder(source: str, backend: Backend = HF, *, other_backends: bool = True) -> Path | None:
    """Find a folder or a hub id's snapshot (downloaded where needed), and check its files.

    Args:
        other_backends: whether the command takes backends for models of other kinds, which a remedy may name.

    Returns:
        None for the name of a model that only the backend knows.

    Raises:
        UsageError: there is no such folder or hub id.
        SetupError: a file is missing or broken, or the model is of another kind.
    """
    folder = Path(source)
    require_readable(folder)
    if not folder.is_dir():
        snapshot = _snapshot(source, required=backend.kind in ("hf", "vllm"))
        if snapshot is None:
            return None
        folder = snapshot
    _check_finished(folder)
    _check_files(folder, source)
    if backend.kind == "hf":
        _check_kind(folder, _REMEDIES if other_backends else {**_REMEDIES, "": WHOLE_LLAVA_NEXT})
    if backend.kind in ("hf", "vllm"):
        _check(folder, source)
    return folder


def require_readable(folder: Path) -> None:
    """Check that the files in ``folder`` may be read, if there is such a folder.

    Raises:
        SetupError: the system refuses it; names the file.
    """
    try:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file():
                path.open("rb").close()
    except OSError as error:
        remedy = remedy_for(error, "copy the model again")
        raise SetupError(f"{reason_of(error)} (remedy: {remedy})") from error


def _snapshot(source: str, *, required: bool) -> Path | None:
    if may_be_on_hub(source):
        try:
            return model_from_hub(
                source, FILES, "give the folder that holds config.json, or see that the hub is in reach"
            )
        except UsageError:
            if required:
                raise
    elif required:
        raise UsageError(f"{source}: no such model folder (remedy: give the folder that holds config.json)")
    return None


def _check_finished(folder: Path) -> None:
    try:
        require_finished(folder, PUBLISHED)
    except ModelFolderError as error:
        raise SetupError(str(error)) from error


def _check_files(folder: Path, source: str) -> None:
    """Read what is quick to read: settings, and the weights' headers, which reveal truncated files."""
    from safetensors import SafetensorError, safe_open

    parts: dict[str, str] = {}
    for path in sorted({path for pattern in FILES for path in folder.glob(pattern)}):
        try:
            content: Any = read_json(path) if path.suffix == ".json" else None
            if path.match(INDEX):
                parts |= dict.fromkeys(content["weight_map"].values(), path.name)
            if path.suffix == ".safetensors":
                with safe_open(path, framework="np"):
                    pass
        except (ValueError, TypeError, KeyError, AttributeError, OSError, SafetensorError) as error:
            raise SetupError(
                f"{source}: {path.name} is broken: {reason_of(error)} (remedy: save or copy the model again)"
            ) from error
    for part, index in sorted(parts.items()):
        if not (folder / part).is_file():
            raise SetupError(f"{source}: has no {part}, which {index} names (remedy: copy the model again)")


def _check_kind(folder: Path, remedies: Mapping[str, str]) -> None:
    """Check that it is a LLaVA-NeXT in Hugging Face format, whose model and processor tile images alike."""
    try:
        config = require_kind(folder, PUBLISHED, remedies)
        ours = config.get("image_grid_pinpoints")
        for name in PROCESSORS:
            settings = read_json_object(folder / name) if (folder / name).is_file() else {}
            part = settings.get("image_processor")
            theirs = (part if isinstance(part, dict) else settings).get("image_grid_pinpoints")
            if None not in (ours, theirs) and ours != theirs:
                raise SetupError(
                    f"{folder}: image_grid_pinpoints is {shown(ours)} in config.json and {shown(theirs)} in "
                    f"{name} (remedy: write into both the grid that the model was trained with)"
                )
    except ModelFolderError as error:
        raise SetupError(str(error)) from error


def _check(folder: Path, source: str) -> None:
    wanted = {
        "config.json": ("config.json",),
        "tokenizer": ("tokenizer.json", "tokenizer.model", "tokenizer_config.json"),
        "processor": PROCESSORS,
        "weights (*.safetensors)": WEIGHTS,
    }
    for what, patterns in wanted.items():
        if not any(path for pattern in patterns for path in folder.glob(pattern)):
            # A run's folder may have been given instead of the model in it.
            inner = folder / "model"
            remedy = f"give {inner}" if (inner / "config.json").exists() else WHOLE
            raise SetupError(f"{source}: has no {what} (remedy: {remedy})")


def batch_size(backend: Backend, batch: int | None) -> int:
    """Number of questions answered at once: the user's, or the backend's default."""
    return batch or {"hf": 16, "vllm": 64, ENDPOINT: 16}.get(backend.kind, 1)
