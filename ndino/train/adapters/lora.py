"""Low-rank adapters of the language model (LoRA), by PEFT: injected, saved, read back and merged.

The model keeps its class: PEFT's wrapper would hide the forward pass and the names that the rest of the
engine uses. An adapted linear layer has its own weight under ``base_layer.weight`` and the factors A and B
under ``lora_A.default.weight`` and ``lora_B.default.weight``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaNextForConditionalGeneration

from ndino.formats.recipes import Adapter, Recipe
from ndino.train.adapters.few_bits import to_four_bits
from ndino.train.checkpoints import TRAINED
from ndino.train.stage import StageError

LANGUAGE_MODEL = "model.language_model."
BASE, FACTOR_A, FACTOR_B = ".base_layer.weight", ".lora_A.default.weight", ".lora_B.default.weight"


def is_factor(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter."""
    return name.endswith((FACTOR_A, FACTOR_B))


def prepare_adapter(
    model: LlavaNextForConditionalGeneration, recipe: Recipe, *, device: torch.device
) -> None:
    """Give the model the recipe's adapter, if it has one; under ``qlora`` on ``device``, in 4 bits.

    Raises:
        StageError: as `add_adapter`.
    """
    if recipe.adapter is None:
        return
    if recipe.adapter.kind == "qlora":
        to_four_bits(model)
        torch.nn.Module.to(model, device)
    try:
        add_adapter(model, recipe.adapter, seed=recipe.seed)
    except StageError as error:
        raise StageError(f"recipe {recipe.name}: {error}") from error


def add_adapter(model: LlavaNextForConditionalGeneration, adapter: Adapter, *, seed: int) -> None:
    """Give each linear layer that ``adapter.targets`` names an adapter, in place. B is 0: outputs are equal.

    Raises:
        StageError: a target is no linear layer of the language model.
    """
    from peft import LoraConfig, inject_adapter_in_model

    linear = {
        name.rpartition(".")[2]
        for name, module in model.model.language_model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    if unknown := [target for target in adapter.targets if target not in linear]:
        raise StageError(
            f"adapter.targets: the language model has no linear layer {unknown[0]} "
            f"(remedy: some of {', '.join(sorted(linear))})"
        )
    # PEFT compares an expression with the whole name. The vision tower has layers of the same names.
    names = "|".join(adapter.targets)
    settings = LoraConfig(
        r=adapter.r,
        lora_alpha=cast("int", adapter.alpha),  # only ever divided by r
        lora_dropout=adapter.dropout,
        target_modules=rf"model\.language_model\..*\.({names})",
    )
    torch.manual_seed(seed)  # as for the projector: the draw must not depend on what was drawn before
    # PEFT reads from this attribute, which `from_pretrained` sets, that there are layers of 4 bits.
    four_bits = adapter.kind == "qlora"
    if four_bits:
        model.__dict__["is_loaded_in_4bit"] = True
    inject_adapter_in_model(settings, model)
    if four_bits:
        del model.__dict__["is_loaded_in_4bit"]


def merged(weights: Mapping[str, torch.Tensor], adapter: Adapter) -> dict[str, torch.Tensor]:
    """The weights of the plain model: W + alpha / r * B A, under the names that it had without the adapter.

    Sums are in fp32 and keep W's dtype. ``weights`` may be on any device; W may be missing where the rank
    holds no weights at all (a shard's state dict is empty but on rank 0).
    """
    plain: dict[str, torch.Tensor] = {}
    for name, value in weights.items():
        if is_factor(name):
            continue
        if not name.endswith(BASE):
            plain[name] = value
            continue
        layer = name.removesuffix(BASE)
        a, b = (weights[layer + factor].to(value.device, torch.float32) for factor in (FACTOR_A, FACTOR_B))
        plain[f"{layer}.weight"] = (value.float() + (adapter.alpha / adapter.r) * (b @ a)).to(value.dtype)
    return plain


def published(
    weights: Mapping[str, torch.Tensor], adapter: Adapter, starting_model: Callable[[], torch.nn.Module]
) -> dict[str, torch.Tensor]:
    """The weights to publish. Under ``qlora`` the update goes onto the weights that the run started from.

    Args:
        weights: of the trained model.
        starting_model: builds the model that the run started from once more.
    """
    if adapter.kind == "lora":
        return merged(weights, adapter)
    adapted = {name.removesuffix(FACTOR_A) + ".weight" for name in weights if name.endswith(FACTOR_A)}
    plain = {
        name.removesuffix(".weight") + BASE if name in adapted else name: value
        for name, value in starting_model().state_dict().items()
    }
    # Weights in 4 bits are held as bytes, beside their scales, which no plain model has.
    trained = {
        name: value
        for name, value in weights.items()
        if is_factor(name) or (name in plain and value.is_floating_point())
    }
    return merged({**plain, **trained}, adapter)


def save_trained(model: torch.nn.Module, weights: Mapping[str, torch.Tensor] | None, folder: Path) -> None:
    """Write the weights that are trained, of ``weights`` or else the model's own, to a checkpoint."""
    held = model.state_dict() if weights is None else weights
    trained = {
        name: held[name].detach().contiguous().cpu()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name in held
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(trained, folder / TRAINED, metadata={"format": "pt"})


def load_trained(model: torch.nn.Module, folder: Path) -> None:
    """Read back what `save_trained` wrote.

    Raises:
        StageError: the checkpoint does not hold exactly the weights that are trained.
    """
    held = load_file(folder / TRAINED)
    wanted = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if wanted != held.keys():
        odd = sorted(wanted ^ held.keys())
        raise StageError(
            f"{folder / TRAINED}: {len(odd)} weights are missing or unknown, {odd[0]} among them "
            "(remedy: remove the checkpoint; rerun to resume from the one before it)"
        )
    model.load_state_dict(held, strict=False)
