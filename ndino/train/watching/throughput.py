"""Speed of training: samples, tokens, useful share of positions, MFU and peak memory, from log to log.

MFU (model FLOPs utilisation) is the arithmetic that the model needs, without recomputed activations and
without padding, over what the GPU could do in that time. docs/training.md has the formula.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from transformers import LlavaNextForConditionalGeneration, TrainerCallback

from ndino.common.transformers_types import vision_sizes
from ndino.formats.prompts import IGNORE_INDEX
from ndino.train.packing.model import stops_early

# Operations per second in bf16, dense, by a part of the device's name; the first match counts. From the
# makers' data sheets.
PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 6000 Ada": 364e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
FIELDS = ("samples", "tokens", "positions", "supervised", "squares", "tiles")


def peak_flops(device: torch.device) -> float | None:
    """The device's peak in bf16, in operations per second; None for a CPU or an unknown GPU."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)


@dataclass(frozen=True)
class Arithmetic:
    """Floating-point operations of one training pass, by what they are proportional to.

    Attributes:
        token: a token of the language model's input, without attention's products.
        square: a token times a token of its own sample, for attention's two products.
        supervised: a supervised position, for ``lm_head`` and what else runs only there.
        tile: a tile of an image, through tower and projector.
    """

    token: float
    square: float
    supervised: float
    tile: float

    @classmethod
    def of(cls, model: LlavaNextForConditionalGeneration) -> Arithmetic:
        """Count the operations of a model, of which some parts may be frozen.

        A linear layer costs 2 operations a weight forward and 2 for its input's gradient; 2 more for its own
        where it is trained. A tower that is frozen, as everything before it, needs its forward pass alone.
        """
        text, inner = model.config.get_text_config(), model.model
        layers = _linear_cost(inner.language_model, backward=4)
        # Packed samples need the last layer's MLP at supervised positions only.
        spared = _linear_cost(inner.language_model.layers[-1].mlp, backward=4) if stops_early(model) else 0.0
        tower = inner.vision_tower
        tower_trained = any(weight.requires_grad for weight in tower.parameters())
        sizes = vision_sizes(model.config.vision_config)
        patches = (sizes.image_size // sizes.patch_size) ** 2
        vision: Any = model.config.vision_config
        through = 6 if tower_trained else 2
        tile = patches * (
            sum(weight.numel() for name, weight in tower.named_parameters() if weight.dim() > 1) * through
            + 2 * through * vision.num_hidden_layers * vision.hidden_size * patches
            + 6 * sum(weight.numel() for weight in inner.multi_modal_projector.parameters())
        )
        head = 6 if model.lm_head.weight.requires_grad else 4
        heads = text.num_attention_heads
        width = heads * (getattr(text, "head_dim", None) or text.hidden_size // heads)
        return cls(
            token=layers - spared,
            # QK and PV, each 2 operations a pair and width, half of the pairs by causality, backward twice.
            square=text.num_hidden_layers * 2 * 2 * width / 2 * 3,
            supervised=head * model.lm_head.weight.numel() + spared,
            tile=tile,
        )

    def of_batch(self, counts: Mapping[str, float]) -> float:
        """Operations for what was counted (`FIELDS`)."""
        return (
            self.token * counts["tokens"]
            + self.square * counts["squares"]
            + self.supervised * counts["supervised"]
            + self.tile * counts["tiles"]
        )


def _linear_cost(layers: torch.nn.Module, *, backward: int) -> float:
    total = 0
    for module in layers.modules():
        if isinstance(module, torch.nn.Linear):
            # A weight in 4 bits holds two of them in a byte, so sizes come from the layer.
            weights = module.in_features * module.out_features
            total += weights * (backward + 2 * module.weight.requires_grad)
    return float(total)


class Throughput(TrainerCallback):
    """Counts what the trainer hands to `saw`, and turns it into figures at each log.

    Time is that of steps with their data, without saving and evaluating. Every rank counts its own samples;
    figures are of all ranks together, memory is the highest of all.
    """

    def __init__(self, model: LlavaNextForConditionalGeneration) -> None:
        self.arithmetic = Arithmetic.of(model)
        self._counts: torch.Tensor | None = None
        self._seconds, self._mark = 0.0, 0.0
        self._total: dict[str, float] = {}
        self._total_seconds = 0.0

    def saw(self, batch: Mapping[str, torch.Tensor]) -> None:
        """Count one micro-batch. It stays on its device: nothing waits for the GPU."""
        mask = batch["attention_mask"]
        packed = batch["sample_lengths"]
        lengths = packed if len(packed) else mask.sum(1)
        counts = [
            torch.tensor(len(lengths)),
            lengths.sum(),
            torch.tensor(mask.numel()),
            (batch["labels"] != IGNORE_INDEX).sum(),
            (lengths.double() ** 2).sum(),
            torch.tensor(len(batch["tiles"])),
        ]
        added = torch.stack([count.to(mask.device, torch.float64) for count in counts])
        self._counts = added if self._counts is None else self._counts + added

    def read(self, device: torch.device) -> dict[str, float]:
        """The figures since the last call; all ranks must call this together.

        ``samples_per_second``, ``tokens_per_second`` (without padding), ``useful_share`` (tokens of all
        positions), ``mfu`` and ``gpu_memory_gib`` where they are known.
        """
        if self._counts is None or not self._seconds:
            return {}
        # The CPU's float64 has room for sums of squares; not every device has it.
        counts = self._counts.cpu()
        if dist.is_initialized():
            shared = counts.to(device)
            dist.all_reduce(shared)
            counts = shared.cpu()
        found: dict[str, float] = dict(zip(FIELDS, counts.tolist(), strict=True))
        self._total = {name: self._total.get(name, 0.0) + value for name, value in found.items()}
        self._total_seconds += self._seconds
        figures = self._figures(found, self._seconds, device)
        self._counts, self._seconds = None, 0.0
        return figures

    def summary(self, device: torch.device) -> dict[str, float]:
        """The same figures for all steps since training began or was resumed."""
        return self._figures(self._total, self._total_seconds, device) if self._total_seconds else {}

    def _figures(self, counts: Mapping[str, float], seconds: float, device: torch.device) -> dict[str, float]:
        figures = {
            "samples_per_second": round(counts["samples"] / seconds, 3),
            "tokens_per_second": round(counts["tokens"] / seconds, 1),
            "useful_share": round(counts["tokens"] / counts["positions"], 4),
        }
        ranks = dist.get_world_size() if dist.is_initialized() else 1
        if (peak := peak_flops(device)) is not None:
            figures["mfu"] = round(self.arithmetic.of_batch(counts) / (seconds * ranks * peak), 4)
        if device.type == "cuda":
            figures["gpu_memory_gib"] = round(torch.cuda.max_memory_allocated(device) / 1024**3, 2)
        return figures

    def on_train_begin(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        self._mark = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        now = time.monotonic()
        self._seconds += now - self._mark
        self._mark = now

    def on_save(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        self._mark = time.monotonic()

    def on_evaluate(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        self._mark = time.monotonic()
