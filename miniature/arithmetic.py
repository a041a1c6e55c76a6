"""One seed, one result: the same weights, bit for bit, on every x86-64 processor with AVX2.

PyTorch, MKL and oneDNN each choose their kernels by the processor. Kernels sum in different orders, and a
training run turns a difference in the last bit into other answers. docs/miniature.md says what was compared.
"""

from __future__ import annotations

import os

import torch


def pin_arithmetic() -> None:
    """Choose kernels that do not depend on the processor. Call it before this process's first operation.

    Where the processor has no AVX2, PyTorch's own kernels are not pinned, and the numbers are other ones.
    AdamW must be PyTorch's fused one: the others take MKL's square root, which starts from the processor's
    own approximation, whatever ``MKL_CBWR`` says.
    """
    # The only mode that MKL offers on processors of other makers than Intel.
    os.environ["MKL_CBWR"] = "COMPATIBLE"
    if torch.cpu._is_avx2_supported():
        os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
    # oneDNN has no such mode.
    torch.backends.mkldnn.enabled = False
