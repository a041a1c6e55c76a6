"""Logits of an upstream checkpoint by upstream's own code; run in ``.venv-llava`` by the converter's check.

    .venv-llava/bin/python -m ndino.llava_next.upstream_logits CHECKPOINT FOLDER

It runs in third_party/LLaVA-NeXT.

``FOLDER/inputs.safetensors`` holds, for each name, ``NAME.image`` (height, width, 3), uint8, and
``NAME.ids``, int64, with -200 where the image stands; ``FOLDER/NAME.safetensors`` gets ``logits`` (positions,
vocabulary), float32. One file each: with 128,000 tokens an image's logits are over a gigabyte.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from llava.mm_utils import process_images
from llava.model.language_model.llava_llama import LlavaConfig, LlavaLlamaForCausalLM
from PIL import Image
from safetensors.torch import load_file, save_file


def write_logits(checkpoint: Path, folder: Path, tower: str | None) -> None:
    """Answer ``folder``'s inputs in fp32; ``tower`` replaces the one that the checkpoint recorded."""
    inputs = load_file(folder / "inputs.safetensors")
    config = LlavaConfig.from_pretrained(checkpoint)
    config.tokenizer_model_max_length = None  # or long inputs would be cut
    if tower is not None:
        config.mm_vision_tower = tower
    model = LlavaLlamaForCausalLM.from_pretrained(
        checkpoint, config=config, torch_dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    processor = model.get_vision_tower().image_processor
    for name in sorted(key.removesuffix(".ids") for key in inputs if key.endswith(".ids")):
        image = Image.fromarray(inputs[f"{name}.image"].numpy())
        with torch.no_grad():
            output = model(
                input_ids=inputs[f"{name}.ids"][None],
                images=[process_images([image], processor, model.config)[0]],
                image_sizes=[image.size],
                modalities=["image"],
            )
        save_file({"logits": output.logits[0].float().contiguous()}, folder / f"{name}.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vision-tower", help="folder or hub name; without it, the recorded one")
    options = parser.parse_args()
    write_logits(options.checkpoint, options.folder, options.vision_tower)


if __name__ == "__main__":
    main()
