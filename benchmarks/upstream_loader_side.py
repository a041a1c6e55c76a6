"""The timed part of upstream_loader.py, run by upstream's interpreter: ``upstream_loader_side.py OUT``.

Reads tokenizer, images and rows from the working directory, prints samples per second and saves the samples
to OUT. ``llava`` is imported from the tree in PYTHONPATH.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from llava import conversation
from llava.train import train
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, CLIPImageProcessor

TILE = 336
PINPOINTS = [(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)]


def main() -> None:
    torch.set_num_threads(1)
    conversation.default_conversation = conversation.conv_templates["llava_llama_3"]
    tokenizer = AutoTokenizer.from_pretrained(
        "meta-llama/Meta-Llama-3-8B-Instruct", model_max_length=8192, padding_side="right", use_fast=False
    )
    arguments = train.DataArguments(
        data_path="rows.json", is_multimodal=True, image_folder=".", image_aspect_ratio="anyres"
    )
    arguments.image_grid_pinpoints = PINPOINTS
    arguments.mm_use_im_start_end = False
    arguments.image_processor = CLIPImageProcessor(
        size={"shortest_edge": TILE}, crop_size={"height": TILE, "width": TILE}
    )
    dataset = train.LazySupervisedDataset("rows.json", tokenizer, arguments)
    loader = DataLoader(
        dataset, batch_size=1, collate_fn=train.DataCollatorForSupervisedDataset(tokenizer=tokenizer)
    )
    dataset[0]  # warm-up: lazy loading does not count
    started = time.perf_counter()
    batches = list(loader)
    seconds = time.perf_counter() - started
    tensors = {}
    for number, batch in enumerate(batches):
        tensors[f"{number}.ids"] = batch["input_ids"][0]
        tensors[f"{number}.labels"] = batch["labels"][0]
        tensors[f"{number}.pixels"] = batch["images"][0]
    save_file(tensors, Path(sys.argv[1]))
    print(len(dataset) / seconds)


if __name__ == "__main__":
    main()
