"""Whether a folder's weights are those that its config.json describes, asked before memory is taken.

transformers loads the shapes alone, so that its renaming of weights is its own. Without this, a config.json
of a larger model than the weights takes that model's memory before a shape is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.formats.model_folder import missing_weights
from ndino.formats.model_kinds import read_json_object

if TYPE_CHECKING:
    import torch

# What transformers loads, in its order; beside each there may be an index of parts instead.
_FILES = ("model.safetensors", "pytorch_model.bin")


def misfit(kind: Any, folder: Path, config: Any = None) -> str:
    """What a folder's weights lack, or have of another shape, as text for an error; empty if nothing is.

    Reads headers only, and the memory that it takes does not depend on sizes. A ``kind`` that cannot be built
    without memory for its weights is not checked: loading it says what is wrong.

    Args:
        kind: the class of transformers that will load the folder; AutoModelForCausalLM is one.
        config: the settings to build it by; without it, those of the folder.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, PreTrainedModel

    if not (files := _loaded(folder)):
        return ""
    with _silent():
        try:
            config = AutoConfig.from_pretrained(folder) if config is None else config
            own = issubclass(kind, PreTrainedModel)
            built: Any = kind if own else MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
            shapes = {name: value for path in files for name, value in _shapes(path)}
            _, loading = built.from_pretrained(
                None,
                config=config,
                state_dict=shapes,
                device_map={"": "meta"},
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        except Exception:  # of any kind; the same settings and files fail again when they are loaded
            return ""
    return missing_weights(loading)


def _loaded(folder: Path) -> list[Path]:
    for name in _FILES:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return [folder / name]
        if index.is_file():
            return sorted({folder / part for part in read_json_object(index)["weight_map"].values()})
    return []


def _shapes(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and shapes of a file's weights, as tensors on PyTorch's device ``meta``, which has no memory."""
    import torch
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        yield from torch.load(path, map_location="meta", mmap=True, weights_only=True).items()
        return
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118
            yield name, torch.empty(file.get_slice(name).get_shape(), device="meta")


@contextmanager
def _silent() -> Iterator[None]:
    """Without transformers' bars and its table of weights, which tells in many lines what is told in one."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
