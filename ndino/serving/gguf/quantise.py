"""Quantise a GGUF file to a type that the ``gguf`` package cannot write, with llama.cpp's own code."""

from __future__ import annotations

import ctypes
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from gguf import GGUFReader

from ndino.common.errors import SHOWN_REASON, shown
from ndino.serving.errors import ExportError

# By --type: the number of the file's type in llama.h, LLAMA_FTYPE_MOSTLY_Q4_K_M.
_TYPES = {"q4_k_m": 15}
_ERROR = 4  # a level of its log, GGML_LOG_LEVEL_ERROR in ggml.h


def require_quantiser(name: str) -> None:
    """Check that llama.cpp is installed as a Python package.

    Raises:
        ExportError: it is not.
    """
    if find_spec("llama_cpp") is None:
        raise ExportError(
            f"--type {name}: needs the package llama-cpp-python, which compiles llama.cpp (remedy: "
            ".venv/bin/pip install llama-cpp-python, or --type q8_0)"
        )


def quantise_file(source: Path, target: Path, name: str) -> None:
    """Write ``source``, a file in F16, to ``target`` as the type ``name``.

    Raises:
        ExportError: llama.cpp fails.
    """
    import llama_cpp

    errors: list[str] = []

    def keep(level: int, text: bytes, data: object) -> None:
        if level == _ERROR:
            errors.append(text.decode(errors="replace").strip())

    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = _TYPES[name]
    # llama.cpp logs every tensor.
    quiet = llama_cpp.llama_log_callback(keep)
    llama_cpp.llama_log_set(quiet, None)
    try:
        code = llama_cpp.llama_model_quantize(
            str(source).encode(), str(target).encode(), ctypes.byref(settings)
        )
    finally:
        llama_cpp.llama_log_set(llama_cpp.llama_log_callback(), None)
    if code != 0:
        said = shown(" ".join(errors[-1].split()), SHOWN_REASON) if errors else f"code {code}"
        raise ExportError(
            f"{target.parent}: llama.cpp could not quantise to {name}: {said} (remedy: make room on that "
            "disk, where it is full, or take --type q8_0)"
        )


def types_in(path: Path) -> Counter[str]:
    """How many matrices of a GGUF file have each type."""
    return Counter(tensor.tensor_type.name for tensor in GGUFReader(path).tensors if len(tensor.shape) > 1)
