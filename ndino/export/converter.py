"""Converts a checkpoint folder to a Hugging Face model folder, one tensor at a time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm
from transformers import LlavaNextConfig, PreTrainedTokenizerFast
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from ndino.common.errors import no_room, reason_of
from ndino.common.files import atomic_folder, nearest_existing, partial_of, write_json
from ndino.common.transformers_types import vision_sizes
from ndino.export.card import find_manifest, write_card
from ndino.export.checkpoint import Checkpoint, open_checkpoint
from ndino.export.errors import ConversionError, settings_of
from ndino.export.names import EMBEDDINGS, HEAD, plan
from ndino.export.settings import build_config, check_kind, read_tokenizer, require
from ndino.export.tower import Tower, read_tower
from ndino.export.writer import Layout, write_safetensors
from ndino.formats import model_folder
from ndino.formats.context import context_of
from ndino.formats.finite import is_finite, not_finite
from ndino.formats.model_kinds import model_name

SPARE_BYTES = 64 * 1024**2  # disk space for everything that is not weights
ROWS = 8192  # embedding rows averaged at a time, in float64


def convert(
    src: Path,
    dst: Path,
    *,
    manifest: Path | None = None,
    vision_tower: Path | None = None,
    quiet: bool = False,
) -> Path:
    """Convert the upstream checkpoint ``src`` into the new folder ``dst``; returns ``dst``.

    Weights keep their dtype and their division into shards. The vocabulary grows by ``<image>`` and the pad
    token, up to a multiple of 64; new rows are the mean of the old rows. Needs memory for the largest tensor
    of a safetensors checkpoint, or the largest shard of a .bin one, besides that of the libraries.

    Args:
        manifest: manifest of the run that trained ``src``; by default manifest.json in ``src`` or its parent.
        vision_tower: the tower's folder, if the recorded one is not on this machine.
        quiet: show no progress bar.

    Raises:
        ConversionError: the checkpoint cannot be converted; names the file, key or field.
    """
    if dst.exists() or dst.is_symlink():
        raise ConversionError(f"{dst}: already exists (remedy: remove it or choose another name)")
    checkpoint = open_checkpoint(src)
    check_kind(checkpoint)
    run = find_manifest(src, manifest)
    tower = read_tower(require(checkpoint, "mm_vision_tower"), src, vision_tower)
    tokenizer = read_tokenizer(src)
    generation = model_folder.set_end_of_answer(
        tokenizer, "plain" if run.get("recipe", {}).get("prompt") == "plain" else "llama3"
    )
    with settings_of(src / "config.json"):
        config = build_config(checkpoint, tower, tokenizer)
        names = plan(checkpoint, config)
    # Upstream's trainer saves the recipe's limit on training samples; what the model can take is its context.
    tokenizer.model_max_length = context_of(config.get_text_config().to_dict())
    processor = _processor(tokenizer, tower, config)
    new_rows = config.get_text_config().vocab_size - require(checkpoint, "vocab_size")
    # What a killed conversion left would be removed anyway, and must not count as room that is missing.
    shutil.rmtree(partial_of(dst), ignore_errors=True)
    _require_room(checkpoint, dst)
    with _full_disk_is_said(dst), atomic_folder(dst) as made:
        _write_weights(checkpoint, names, new_rows, made, quiet=quiet)
        config.save_pretrained(made)
        generation.save_pretrained(made)
        processor.save_pretrained(made)
        model_folder.make_portable(made)
        write_card(made / "README.md", name=model_name(dst), tower=tower.source, run=run)
    return dst


@contextlib.contextmanager
def _full_disk_is_said(dst: Path) -> Iterator[None]:
    """Turn an error for want of room, a library's own included, into one line; removes what was written."""
    try:
        yield
    except Exception as error:
        if not no_room(error):
            raise
        shutil.rmtree(partial_of(dst), ignore_errors=True)
        raise ConversionError(
            f"{dst}: the disk is full (remedy: free some space, and start it again)"
        ) from error


def _write_weights(
    checkpoint: Checkpoint, names: dict[str, str], new_rows: int, folder: Path, *, quiet: bool
) -> None:
    layouts = {shard: _layout(checkpoint, names, shard, new_rows) for shard in checkpoint.shards}
    layouts = {shard: layout for shard, layout in layouts.items() if layout}
    sizes = [
        torch.Size(shape).numel() * dtype.itemsize
        for layout in layouts.values()
        for shape, dtype in layout.values()
    ]
    weight_map = {}
    with tqdm(
        total=sum(sizes), desc="convert", unit="B", unit_scale=True, disable=True if quiet else None
    ) as bar:
        for number, (shard, layout) in enumerate(layouts.items(), 1):
            file = (
                "model.safetensors"
                if len(layouts) == 1
                else f"model-{number:05}-of-{len(layouts):05}.safetensors"
            )
            tensors = (
                _grown(_finite(tensor, name, shard), new_rows if name in (EMBEDDINGS, HEAD) else 0)
                for name, tensor in checkpoint.read(shard)
                if name in names
            )
            for written in write_safetensors(folder / file, layout, tensors):
                bar.update(written)
            weight_map |= dict.fromkeys(layout, file)
    if len(layouts) > 1:
        write_json(
            folder / "model.safetensors.index.json",
            {"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map},
        )


def _layout(checkpoint: Checkpoint, names: dict[str, str], shard: Path, new_rows: int) -> Layout:
    layout = {}
    for name, tensor in checkpoint.tensors.items():
        if tensor.shard == shard and name in names:
            rows, *rest = tensor.shape
            grown = new_rows if name in (EMBEDDINGS, HEAD) else 0
            layout[names[name]] = ((rows + grown, *rest), tensor.dtype)
    return layout


def _finite(tensor: torch.Tensor, name: str, shard: Path) -> torch.Tensor:
    if not is_finite(tensor):
        message = not_finite(f"{shard}: tensor {name}")
        raise ConversionError(message)
    return tensor


def _grown(tensor: torch.Tensor, new_rows: int) -> Iterator[torch.Tensor]:
    yield tensor
    if new_rows:
        total = sum(part.double().sum(dim=0) for part in tensor.split(ROWS))
        assert isinstance(total, torch.Tensor)  # split() gives at least one part
        yield (total / len(tensor)).to(tensor.dtype).expand(new_rows, -1)


def _processor(tokenizer: PreTrainedTokenizerFast, tower: Tower, config: LlavaNextConfig):
    names = (
        "crop_size",
        "do_center_crop",
        "do_convert_rgb",
        "do_normalize",
        "do_rescale",
        "do_resize",
        "image_mean",
        "image_std",
        "resample",
        "rescale_factor",
        "size",
    )
    wanted = {name: tower.preprocessing[name] for name in names if name in tower.preprocessing}
    vision = vision_sizes(config.vision_config)
    side, where = vision.image_size, f"{tower.source}: preprocessor_config.json"
    try:
        image_processor = LlavaNextImageProcessorPil(
            **wanted, image_grid_pinpoints=config.image_grid_pinpoints
        )
        sides = {image_processor.crop_size["height"], image_processor.size["shortest_edge"]}
        # Settings of a wrong type or number show on an image only, when the model is used.
        tiles = image_processor(Image.new("RGB", (2 * side, side)), return_tensors="np")["pixel_values"][0]
    except Exception as error:  # it checks nothing itself: any kind of error
        raise ConversionError(
            f"{where} cannot be used: {reason_of(error)} (remedy: take it from the tower's own model)"
        ) from error
    if sides != {side} or tiles.shape[1:] != (3, side, side):
        raise ConversionError(
            f"{where} resizes images to {wanted.get('size')}, but the tower takes {side} pixels "
            "(remedy: take both files from one model)"
        )
    return model_folder.build_processor(tokenizer, image_processor, patch_size=vision.patch_size)


def _require_room(checkpoint: Checkpoint, dst: Path) -> None:
    needed = sum(tensor.nbytes for tensor in checkpoint.tensors.values()) + SPARE_BYTES
    there = nearest_existing(dst.resolve().parent)
    free = shutil.disk_usage(there).free
    if free < needed:
        raise ConversionError(
            f"{there}: {needed / 1e9:.1f} GB are needed but {free / 1e9:.1f} GB are free "
            "(remedy: make room on that disk)"
        )
