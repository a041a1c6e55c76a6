"""Quantise a GGUF file to a type that the ``gguf`` package cannot write, with llama.cpp's own code."""

from __future__ import annotations

import ctypes
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from gguf import GGUFReader

from ndino.serving.errors import ExportError

# By --type: the number of the file's type in llama.h, LLAMA_FTYPE_MOSTLY_Q4_K_M.
_TYPES = {"q4_k_m": 15}


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
        ExportError: llama.cpp fails, which says why on standard error.
    """
    import llama_cpp

    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = _TYPES[name]
    code = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(settings))
    if code != 0:
        raise ExportError(
            f"{target}: llama.cpp could not quantise it, code {code} (remedy: see its message above; it also "
            "fails where the disk is full)"
        )


def types_in(path: Path) -> Counter[str]:
    """How many matrices of a GGUF file have each type."""
    return Counter(tensor.tensor_type.name for tensor in GGUFReader(path).tensors if len(tensor.shape) > 1)
