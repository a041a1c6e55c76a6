"""What tests ask of the patched LLaVA-NeXT, run by its own interpreter: ``inside.py PROGRAM JSON``.

The answer is the last line of standard output, as JSON; tensors go into a safetensors file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from llava import conversation
from llava.model.language_model.llava_llama import LlavaLlamaForCausalLM
from llava.ndino.lengths import true_lengths
from llava.ndino.prompts import PromptSettings
from llava.train import train
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoTokenizer
from transformers.utils import is_flash_attn_2_available

from ndino.formats.model_folder import prepare_tokenizer


def parity(checkpoint: str, batches: list[str], images: str, limit: int) -> dict:
    """Losses by file of ``batches``, each named VERSION.NAME.json; tensors go beside them."""
    return {rows: _learn(checkpoint, rows, images, Path(rows).name.split(".")[0], limit) for rows in batches}


def _widened(model, batch):
    """Upstream's own widening of a batch: its images' features in the places of their tokens."""
    return model.prepare_inputs_labels_for_multimodal(
        batch["input_ids"],
        None,
        batch["attention_mask"],
        None,
        batch["labels"],
        batch["images"],
        batch["modalities"],
        batch["image_sizes"],
    )


def _learn(checkpoint: str, rows: str, images: str, version: str, limit: int) -> float:
    # Ids, labels, loss and projector gradient of one batch by upstream's dataset, collator and model.
    model, dataset, collator = _load(checkpoint, rows, images, version, limit)
    batch = collator([dataset[index] for index in range(len(dataset))])
    prepared = _widened(model, batch)
    loss = model(**batch).loss
    loss.backward()
    projector = {
        f"gradient.{name}": value.grad for name, value in model.model.mm_projector.named_parameters()
    }
    newline = model.model.image_newline.grad
    tensors = {
        "input_ids": batch["input_ids"],
        "labels": batch["labels"],
        "attention_mask": batch["attention_mask"].long(),
        "widened_labels": prepared[5],
        "gradient.image_newline": torch.zeros(0) if newline is None else newline,
        **projector,
    }
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        Path(rows).with_suffix(".safetensors"),
    )
    return loss.item()


def lengths(checkpoint: str, rows: str, images: str, version: str, limit: int) -> dict:
    """Lengths as the sampler counts them, and as the model makes them."""
    model, dataset, collator = _load(checkpoint, rows, images, version, limit)
    tower = model.get_vision_tower().config
    counted = true_lengths(dataset, tile=tower.image_size, patch=tower.patch_size, limit=limit)
    made = []
    for index in range(len(dataset)):
        batch = collator([dataset[index]])
        prepared = _widened(model, batch)
        made.append(prepared[4].shape[1])
    asked = SimpleNamespace(
        args=SimpleNamespace(
            group_by_length=False,
            group_by_modality_length=True,
            model_max_length=limit,
            train_batch_size=2,
            world_size=4,
            gradient_accumulation_steps=8,
            seed=1,
        ),
        model=model,
        train_dataset=dataset,
        add_callback=lambda callback: None,
    )
    sampler = train.LLaVATrainer._get_train_sampler(asked)
    return {
        "counted": counted,
        "made": made,
        "words": dataset.modality_lengths,
        "sampled": sampler.lengths,
        "micro_step": sampler.micro_step,
    }


def samples(tokenizer: str, cases: list[dict]) -> list[dict]:
    """Ids and labels of conversations, how often the tokenizer was copied, and what the collator keeps.

    A case is ``{"version": ..., "settings": {...}, "sources": [conversation, ...]}``.
    """
    loaded = prepare_tokenizer(AutoTokenizer.from_pretrained(tokenizer, model_max_length=512))
    copies = []
    type(loaded).__deepcopy__ = lambda self, memo: copies.append(1) or self
    return [_samples(loaded, copies, **case) for case in cases]


def _samples(tokenizer, copies: list, version: str, settings: dict, sources: list) -> dict:
    tokenizer.ndino_prompt_settings = PromptSettings(**settings)
    conversation.default_conversation = conversation.conv_templates[version]
    made = [
        train.preprocess([source], tokenizer, has_image="<image>" in source[0]["value"]) for source in sources
    ]
    rows = [{"input_ids": one["input_ids"][0], "labels": one["labels"][0]} for one in made]
    batch = train.DataCollatorForSupervisedDataset(tokenizer=tokenizer)(rows)
    return {
        "ids": [row["input_ids"].tolist() for row in rows],
        "labels": [row["labels"].tolist() for row in rows],
        "kept": batch["attention_mask"].sum(dim=1).tolist(),
        "image": tokenizer.convert_tokens_to_ids("<image>"),
        "pad": tokenizer.pad_token_id,
        "copies": len(copies),
    }


def weights(checkpoint: str, out: str) -> dict:
    """The weights as upstream's own class loads them."""
    model = LlavaLlamaForCausalLM.from_pretrained(checkpoint, attn_implementation="sdpa")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, out)
    return {}


def large_image(path: str, seed: int) -> dict:
    """Whether an image above Pillow's limit opens once a run has begun."""
    from llava.ndino.reproducible import begin

    try:
        Image.open(path)
        before = True
    except Image.DecompressionBombError:
        before = False
    arguments = SimpleNamespace(seed=seed, attn_implementation="flash_attention_2", n_gpu=4, _n_gpu=4)
    begin(arguments)
    return {
        "before": before,
        "after": list(Image.open(path).size),
        "gpus": arguments._n_gpu,
        "attention": arguments.attn_implementation,
        "flash_attn": is_flash_attn_2_available(),
    }


def _load(checkpoint: str, rows: str, images: str, version: str, limit: int):
    conversation.default_conversation = conversation.conv_templates[version]
    model = LlavaLlamaForCausalLM.from_pretrained(checkpoint, attn_implementation="sdpa")
    model.config.tokenizer_model_max_length = limit
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, model_max_length=limit, padding_side="right")
    arguments = train.DataArguments(
        data_path=rows, is_multimodal=True, image_folder=images, image_aspect_ratio="anyres"
    )
    arguments.image_grid_pinpoints = model.config.image_grid_pinpoints
    arguments.image_processor = model.get_vision_tower().image_processor
    arguments.mm_use_im_start_end = False
    # The tower is frozen when it is loaded, so there is no gradient before the projector.
    model.model.mm_projector.requires_grad_(True)
    model.model.image_newline.requires_grad_(True)
    dataset = train.LazySupervisedDataset(data_path=rows, tokenizer=tokenizer, data_args=arguments)
    return model, dataset, train.DataCollatorForSupervisedDataset(tokenizer=tokenizer)


if __name__ == "__main__":
    answer = globals()[sys.argv[1]](**json.loads(sys.argv[2]))
    print()
    print(json.dumps(answer), flush=True)
    assert Path(train.__file__).parts[-3:] == ("llava", "train", "train.py")
