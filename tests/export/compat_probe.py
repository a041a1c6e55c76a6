"""What a version of transformers makes of a published folder; run by compat.py in each environment.

python compat_probe.py FOLDER OUT.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

SIZES = [(150, 60), (60, 150), (90, 90), (12, 9)]
MESSAGES = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Di che colore è il cerchio?"}]}
]


def main(folder: Path, out: Path) -> None:
    model, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[what]:
            sys.exit(f"{folder}: {what} {sorted(report[what])[:3]}")
    model = model.float().eval()
    processor = AutoProcessor.from_pretrained(folder)
    text = processor.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
    results = {"ends": torch.tensor(model.generation_config.eos_token_id)}
    results["special"] = torch.tensor(
        [processor.tokenizer.bos_token_id, processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id]
    )
    for number, size in enumerate(SIZES):
        image = Image.linear_gradient("L").resize(size).convert("RGB")
        batch = processor(images=image, text=text, return_tensors="pt")
        with torch.no_grad():
            results[f"logits.{number}"] = model(**batch).logits.contiguous()
            answer = model.generate(**batch, max_new_tokens=8, do_sample=False)
        results[f"ids.{number}"] = batch["input_ids"]
        results[f"answer.{number}"] = answer[:, batch["input_ids"].shape[1] :].contiguous()
    save_file(results, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
