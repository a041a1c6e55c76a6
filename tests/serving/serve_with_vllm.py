"""Start vLLM's server where torchvision's operators are for another PyTorch: they are declared, and none is called.

    python serve_with_vllm.py --model FOLDER --port N ...

PyPI has torchvision for PyTorch's CUDA builds alone, and it cannot be imported beside a CPU build, whose operators
it registers code for. vLLM imports it; LLaVA-NeXT needs none of its operators.
"""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import torch

OPERATORS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_operators() -> torch.library.Library | None:
    """Declare the operators that importing torchvision asks for, where its own cannot be loaded."""
    found = importlib.util.find_spec("torchvision")
    library = next(Path(found.origin).parent.glob("_C*.so"), None) if found and found.origin else None
    try:
        if library is not None:
            torch.ops.load_library(library)
            return None
    except OSError:
        pass
    declared = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        declared.define(name + OPERATORS)
    return declared


# At import: the processes that vLLM starts import this file again.
DECLARED = declare_operators()

if __name__ == "__main__":
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")
