"""The weights that a rank holds, whole or in part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def local_weights(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights that this rank holds: its shard under FSDP or ZeRO-3, otherwise all of them."""
    for name, parameter in model.named_parameters():
        held: Any = getattr(parameter, "ds_tensor", parameter)  # ZeRO-3 leaves the parameter itself empty
        yield name, held.to_local() if hasattr(held, "to_local") else held
