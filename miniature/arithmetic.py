"""Make one seed give the same weights, bit for bit, on every x86-64 processor with AVX2.

PyTorch, MKL and oneDNN choose their kernels by processor. Different kernels add numbers in different orders,
and training amplifies a difference in the last bit into different answers. docs/miniature.md says what was
compared.
"""

from __future__ import annotations

import os

import torch


def pin_arithmetic() -> None:
    """Choose kernels that do not depend on the processor. Call it before the first operation of a process.

    On a processor without AVX2, PyTorch's own kernels are not pinned, and the numbers differ. AdamW must be
    PyTorch's fused version: the others use MKL's square root, which starts from the processor's own
    approximation regardless of ``MKL_CBWR``.
    """
    # The only mode that MKL supports on processors not made by Intel.
    os.environ["MKL_CBWR"] = "COMPATIBLE"
    if torch.cpu._is_avx2_supported():
        os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
    # oneDNN has no such mode, so it is switched off.
    torch.backends.mkldnn.enabled = False
