"""Weights in 4 bits (QLoRA) and AdamW with moments in 8 bits, by bitsandbytes.

They save the memory of an NVIDIA GPU. On a CPU they work too, for tests.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from transformers import LlavaNextForConditionalGeneration

from ndino.formats.recipes import Recipe
from ndino.train.stage import StageError

# A recipe's optimizer -> the name of transformers' argument ``optim``.
OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
}


def require_few_bits(recipe: Recipe) -> None:
    """Check that this machine can do what the recipe asks for.

    Raises:
        StageError: the recipe asks for 4 or 8 bits and bitsandbytes is not installed, or for paging without a
            GPU.
    """
    asked = [f"optimizer: {recipe.optimizer}"] if recipe.optimizer != "adamw" else []
    if recipe.adapter is not None and recipe.adapter.kind == "qlora":
        asked.append("adapter.kind: qlora")
    if asked and find_spec("bitsandbytes") is None:
        raise StageError(
            f"{' and '.join(asked)}: bitsandbytes is not installed (remedy: .venv/bin/python -m pip install "
            "-c constraints.txt -e '.[bits]')"
        )
    if recipe.optimizer.startswith("paged") and not torch.cuda.is_available():
        raise StageError(
            f"optimizer: {recipe.optimizer} moves its moments between GPU and CPU, and PyTorch sees no GPU "
            "(remedy: optimizer: adamw_8bit)"
        )


def to_four_bits(model: LlavaNextForConditionalGeneration) -> None:
    """Replace the linear layers of the language model's decoder by layers of 4 bits (NF4), in place.

    Each layer is quantised when it is moved to a device. lm_head and embeddings stay as they are.
    """
    import bitsandbytes

    for parent in list(model.model.language_model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, torch.nn.Linear):
                setattr(parent, name, _four_bit_layer(layer, bitsandbytes))


def _four_bit_layer(layer: torch.nn.Linear, bitsandbytes: Any) -> torch.nn.Module:
    made = bitsandbytes.nn.Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        compute_dtype=torch.bfloat16,
        compress_statistics=True,
        quant_type="nf4",
        device="meta",
    )
    # On CPUs with AVX-512 BF16, bitsandbytes repacks the weights of a model in evaluation mode. It cannot
    # do so for all sizes, and training continues after a look at held-out rows.
    made.support_avx512bf16_for_cpu = False
    made.weight = bitsandbytes.nn.Params4bit(
        layer.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4"
    )
    if layer.bias is not None:
        made.bias = layer.bias
    return made
