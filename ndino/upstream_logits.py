"""Logits of an upstream checkpoint by upstream's own code; run in ``.venv-llava`` by the converter's check.

    .venv-llava/bin/python -m ndino.upstream_logits CHECKPOINT INPUTS OUTPUTS    (in third_party/LLaVA-NeXT)

INPUTS holds, for each name, ``NAME.image`` (height, width, 3), uint8, and ``NAME.ids``, int64, with -200
where the image stands; OUTPUTS gets ``NAME`` (positions, vocabulary), float32. Both are safetensors.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from llava.mm_utils import process_images
from llava.model.language_model.llava_llama import LlavaConfig, LlavaLlamaForCausalLM
from PIL import Image
from safetensors.torch import load_file, save_file


def logits_of(
    checkpoint: Path, inputs: dict[str, torch.Tensor], tower: str | None
) -> dict[str, torch.Tensor]:
    """Logits in fp32 by name; ``tower`` replaces the vision tower that the checkpoint recorded."""
    config = LlavaConfig.from_pretrained(checkpoint)
    # The compared text must not be cut, and whatever the checkpoint was last used for, nothing is trained.
    config.tokenizer_model_max_length = None
    if tower is not None:
        config.mm_vision_tower = tower
    model = LlavaLlamaForCausalLM.from_pretrained(
        checkpoint, config=config, torch_dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    processor = model.get_vision_tower().image_processor
    logits = {}
    for name in sorted(key.removesuffix(".ids") for key in inputs if key.endswith(".ids")):
        image = Image.fromarray(inputs[f"{name}.image"].numpy())
        with torch.no_grad():
            output = model(
                input_ids=inputs[f"{name}.ids"][None],
                images=[process_images([image], processor, model.config)[0]],
                image_sizes=[image.size],
                modalities=["image"],
            )
        logits[name] = output.logits[0].float().contiguous()
    return logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--vision-tower", help="folder or hub name; without it, the recorded one")
    options = parser.parse_args()
    save_file(logits_of(options.checkpoint, load_file(options.inputs), options.vision_tower), options.outputs)


if __name__ == "__main__":
    main()
