"""Computes a checkpoint's logits with upstream's code; `ndino.export.verify` runs it in ``.venv-llava``.

    .venv-llava/bin/python -m ndino.llava_next.upstream_logits CHECKPOINT FOLDER

Its working directory is third_party/LLaVA-NeXT.

``FOLDER/inputs.safetensors`` holds, for each name, ``NAME.image`` (height, width, 3), uint8, and
``NAME.ids``, int64, with -200 in the image's place. ``FOLDER/NAME.safetensors`` receives ``logits``
(positions, vocabulary), float32: a file for each, as one image's logits over 128,000 tokens are more than a
gigabyte.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from llava.mm_utils import process_images
from llava.model.language_model.llava_llama import LlavaConfig, LlavaLlamaForCausalLM
from PIL import Image
from safetensors.torch import load_file, save_file


def write_logits(checkpoint: Path, folder: Path, tower: str | None, attention: str = "sdpa") -> None:
    """Write the logits for ``folder``'s inputs, in fp32; ``tower`` overrides the checkpoint's own."""
    inputs = load_file(folder / "inputs.safetensors")
    config = LlavaConfig.from_pretrained(checkpoint)
    config.tokenizer_model_max_length = None  # otherwise long inputs would be truncated
    if tower is not None:
        config.mm_vision_tower = tower
    model = LlavaLlamaForCausalLM.from_pretrained(
        checkpoint, config=config, torch_dtype=torch.float32, attn_implementation=attention
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
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vision-tower", help="folder or hub name; without it, the recorded one")
    parser.add_argument("--attention", default="sdpa", help="transformers' attn_implementation")
    options = parser.parse_args()
    write_logits(options.checkpoint, options.folder, options.vision_tower, options.attention)


if __name__ == "__main__":
    main()
