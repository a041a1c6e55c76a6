"""Start vLLM's server beside a torchvision whose operators are for another PyTorch.

    python serve_with_vllm.py --model FOLDER --port N ...

PyPI has torchvision for PyTorch's CUDA builds alone. Beside a CPU build it cannot be imported, since it
registers code for operators that are not there. vLLM imports it; LLaVA-NeXT needs no operator of it, so that
declaring them is enough.
"""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import torch

OPERATORS, ARGUMENTS = ("nms", "qnms"), "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_operators() -> torch.library.Library | None:
    """Declare the operators that importing torchvision asks for, where its own cannot be loaded."""
    found = importlib.util.find_spec("torchvision")
    libraries = Path(found.origin).parent.glob("_C*.so") if found and found.origin else ()
    try:
        for library in libraries:
            torch.ops.load_library(library)
            return None
    except OSError:
        pass
    declared = torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        declared.define(name + ARGUMENTS)
    return declared


# At import: the processes that vLLM starts import this file again.
DECLARED = declare_operators()

if __name__ == "__main__":
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")
