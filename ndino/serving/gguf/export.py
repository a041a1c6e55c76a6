"""A model folder to a folder of GGUF files: what is whole is kept, what is missing is written."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gguf import GGUFWriter
from transformers import LlavaNextConfig

from ndino.common.errors import UserError, reason_of
from ndino.common.files import atomic_file, digest_of, fingerprint, write_json
from ndino.common.locks import exclusive_lock
from ndino.common.provenance import commit
from ndino.formats.model_kinds import model_name, read_json_object
from ndino.serving.errors import ExportError
from ndino.serving.folders import scores_lines, served_name
from ndino.serving.gguf.container import F16, Q8_0, write_container
from ndino.serving.gguf.language_model import language_model_entries, language_model_writer
from ndino.serving.gguf.quantise import quantise_file, require_quantiser, types_in
from ndino.serving.gguf.template import chat_template, for_llama_cpp, modelfile
from ndino.serving.gguf.tokenizer import add_tokenizer, special_tokens_of
from ndino.serving.gguf.vision import vision_entries, vision_writer
from ndino.serving.gguf.weights import Weights

# Counts up when the same model is written in another way.
VERSION = 1
RECORD, MODELFILE, MMPROJ = "export.json", "Modelfile", "mmproj-f16.gguf"
# Of what the files are made; README and manifest are not among them.
_SOURCES = ("*.safetensors", "config.json", "tokenizer*.json", "*processor_config.json", "chat_template.*")
_CONTEXT = 8192  # tokens that Ollama makes room for, at most: a tiled image is 2,880 of them
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")


@dataclass
class Exported:
    """What an export wrote.

    Attributes:
        written: the files written now; the others were whole.
        types: how many matrices of the language model have each type.
    """

    model: Path
    folder: Path
    language_model: str
    written: list[str] = field(default_factory=list)
    types: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What to tell the user: files, types, and how to run them."""
        model, mmproj = (shlex.quote(str(self.folder / name)) for name in (self.language_model, MMPROJ))
        counts = ", ".join(f"{count} {kind.lower()}" for kind, count in sorted(self.types.items()))
        name = served_name(self.model)
        did = f"written: {', '.join(self.written)}" if self.written else "is whole: nothing to do"
        return [
            f"{self.folder}: {did}",
            f"matrices of the language model: {counts}",
            "llama.cpp:",
            f"  llama-mtmd-cli -m {model} --mmproj {mmproj} --jinja --temp 0 \\",
            "    --image photo.jpg -p 'Che cosa si vede?'",
            f"  llama-server -m {model} --mmproj {mmproj} --jinja --alias {name}",
            "Ollama:",
            f"  ollama create {name} -f {shlex.quote(str(self.folder / MODELFILE))}",
            f"  ollama run {name} 'Che cosa si vede? ./photo.jpg'",
            *scores_lines(self.model, 8080),
        ]


def export(model: Path, folder: Path | None, kind: str) -> Exported:
    """Write the model folder ``model`` as GGUF to ``folder``, the matrices of its language model as ``kind``.

    Args:
        folder: None: beside the model, ``<model>-gguf-<kind>``.
        kind: ``f16``, ``q8_0`` or ``q4_k_m``.

    Raises:
        ExportError: the model cannot be written as GGUF, or the folder holds something else.
        BusyError: another process writes to the folder.
        OSError: the disk is full, or a file may not be read or written.
    """
    model = model.resolve()
    folder = folder or model.with_name(f"{model.name}-gguf-{kind}")
    if kind == "q4_k_m":
        require_quantiser(kind)
    parts = _Parts.of(model, kind)
    source = fingerprint(model, _SOURCES)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(
        folder, f"{folder}: another export writes to it (remedy: wait for it, or choose another --out)"
    ):
        record = _record_in(folder, source, kind)
        for left in folder.glob(".*.tmp"):  # of an export that was killed
            left.unlink()
        made = Exported(model, folder, f"language-model-{kind}.gguf")
        files: dict[str, Callable[[Path], None]] = {
            made.language_model: lambda path: record.update(types=_write_language_model(path, parts, kind)),
            MMPROJ: lambda path: _write_mmproj(path, parts),
            MODELFILE: lambda path: _write_modelfile(path, parts, [made.language_model, MMPROJ]),
        }
        for name, write in files.items():
            path = folder / name
            if path.is_file() and record["files"].get(name) == digest_of(path):
                continue
            with atomic_file(path) as temporary:
                write(temporary)
            record["files"][name] = digest_of(path)
            write_json(folder / RECORD, record)
            made.written.append(name)
        made.types = record["types"]
    return made


@dataclass
class _Parts:
    """A model folder, checked: everything but the values of its tensors is read."""

    name: str
    folder: Path
    config: Any
    image_processor: dict[str, Any]
    template: str
    weights: Weights

    @classmethod
    def of(cls, folder: Path, kind: str) -> _Parts:
        """Read it, and find out whether it can be written, before anything is."""
        try:
            config = LlavaNextConfig.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # any of a dozen kinds, by what is wrong with a field
            raise ExportError(
                f"{folder / 'config.json'}: cannot be used: {reason_of(error)} (remedy: copy the model again)"
            ) from error
        parts = cls(
            model_name(folder),
            folder,
            config,
            _image_processor(folder),
            chat_template(folder),
            Weights(folder),
        )
        try:
            _language_model(parts, kind)
            _mmproj(parts)
            _modelfile(parts, [])
        except UserError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ExportError(
                f"{folder}: a setting is missing or of another kind, {reason_of(error)} (remedy: copy the "
                "model again)"
            ) from error
        return parts


def _image_processor(folder: Path) -> dict[str, Any]:
    for name in _PROCESSORS:
        if (folder / name).is_file():
            settings = read_json_object(folder / name)
            inner = settings.get("image_processor")
            settings = inner if isinstance(inner, dict) else settings
            if "image_mean" in settings and "image_std" in settings:
                return settings
    raise ExportError(
        f"{folder}: has no image_mean and image_std in {' or '.join(_PROCESSORS)} (remedy: copy the "
        "model again)"
    )


def _record_in(folder: Path, source: str, kind: str) -> dict[str, Any]:
    """The record of an earlier export of the same model to ``folder``, or a new one."""
    same = {"format": "gguf", "version": VERSION, "type": kind, "source": source}
    record = {**same, "commit": commit(), "files": {}, "types": {}}
    path = folder / RECORD
    if not path.is_file():
        if held := sorted(each.name for each in folder.iterdir() if not each.name.startswith(".")):
            raise ExportError(
                f"{folder}: holds {held[0]}, and is no export to GGUF (remedy: choose another --out)"
            )
        return record
    found = read_json_object(path)
    if {name: found.get(name) for name in same} != same:
        raise ExportError(
            f"{folder}: holds another export, of other weights, another type or an earlier ndino (remedy: "
            "choose another --out, or delete that folder)"
        )
    whole = isinstance(found.get("files"), dict) and isinstance(found.get("types"), dict)
    return found if whole else record


def _language_model(parts: _Parts, kind: str) -> tuple[GGUFWriter, list[Any]]:
    text, wanted = parts.config.text_config, Q8_0 if kind == "q8_0" else F16
    writer = language_model_writer(text, parts.name, wanted)
    add_tokenizer(writer, parts.folder, text.vocab_size, parts.template)
    writer.add_chat_template(for_llama_cpp(parts.template))
    return writer, language_model_entries(text, parts.weights, wanted)


def _mmproj(parts: _Parts) -> tuple[GGUFWriter, list[Any]]:
    writer = vision_writer(parts.config, parts.image_processor, parts.name)
    return writer, vision_entries(parts.config, parts.weights)


def _modelfile(parts: _Parts, files: list[str]) -> str:
    context = min(_CONTEXT, parts.config.text_config.max_position_embeddings)
    return modelfile(parts.template, special_tokens_of(parts.folder), files, context=context)


def _write_language_model(path: Path, parts: _Parts, kind: str) -> dict[str, int]:
    """Write it; returns how many matrices have each type."""
    if kind != "q4_k_m":
        writer, entries = _language_model(parts, kind)
        write_container(path, writer, entries, label=f"language-model-{kind}.gguf")
        return Counter(entry.type.name for entry in entries if len(entry.shape) > 1)
    whole = path.with_name(f"{path.name}.f16.tmp")
    try:
        write_container(whole, *_language_model(parts, "f16"), label="language model, f16")
        quantise_file(whole, path, kind)
        return types_in(path)
    finally:
        whole.unlink(missing_ok=True)


def _write_mmproj(path: Path, parts: _Parts) -> None:
    write_container(path, *_mmproj(parts), label=MMPROJ)


def _write_modelfile(path: Path, parts: _Parts, files: list[str]) -> None:
    path.write_text(_modelfile(parts, files), encoding="utf-8")
