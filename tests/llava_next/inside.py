"""What tests ask of the patched LLaVA-NeXT, run by its own interpreter: ``inside.py PROGRAM JSON``.

The answer is the last line of standard output, as JSON; tensors go into a safetensors file.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from llava import conversation
from llava.model.language_model.llava_llama import LlavaLlamaForCausalLM
from llava.ndino.prompts import PromptSettings
from llava.train import train
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoTokenizer
from transformers.utils import is_flash_attn_2_available

from ndino.formats.model_folder import prepare_tokenizer
from ndino.formats.prompts import IGNORE_INDEX

sys.path.append(str(Path(__file__).parents[2]))  # this file is run by its path
from tests.ranks import fork_ranks


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


def lengths(checkpoint: str, rows: str, images: str, version: str, limit: int) -> list[tuple[int, int]]:
    """Tokens of each sample in the model, and those of them that the loss uses."""
    model, dataset, collator = _load(checkpoint, rows, images, version, limit)
    made = []
    for index in range(len(dataset)):
        labels = _widened(model, collator([dataset[index]]))[5]
        made.append((labels.shape[1], int((labels[:, 1:] != IGNORE_INDEX).sum())))
    return made


def objective(checkpoint: str, images: str, limit: int, cases: list[dict], batch: int) -> dict:
    """One step of gradient descent at a rate of 1 for each of ``cases``; the projector goes into its folder.

    A case is ``{"out": folder with run.json and rows.json, "ranks": number}``.
    """
    for case in cases:
        fork_ranks(case["ranks"], lambda case=case: _one_step(checkpoint, images, limit, batch, **case))
    return {}


def _one_step(checkpoint: str, images: str, limit: int, batch: int, *, out: str, ranks: int) -> None:
    rows = str(Path(out) / "rows.json")
    model, dataset, collator = _load(checkpoint, rows, images, "llava_llama_3", limit)
    arguments = train.TrainingArguments(
        output_dir=out,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=len(dataset) // batch // ranks,
        max_steps=1,
        max_grad_norm=0,
        logging_steps=1,
        seed=42,
        save_strategy="no",
        save_total_limit=1,
        report_to="none",
        remove_unused_columns=False,
        use_cpu=True,
        disable_tqdm=True,
    )
    model.requires_grad_(False)
    trained = model.model.mm_projector
    trained.requires_grad_(True)
    optimizer = torch.optim.SGD(trained.parameters(), lr=1.0)
    trainer = train.LLaVATrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        data_collator=collator,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)),
    )
    trainer.train()
    if trainer.is_world_process_zero():
        save_file(trained.state_dict(), Path(out) / "projector.safetensors")
        (Path(out) / "loss.json").write_text(json.dumps(trainer.state.log_history[0]["loss"]))


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


def stop_early() -> None:
    """The end of a trainer that was stopped before its last step, in which the interpreter's end aborts."""
    from llava.ndino.saving import save_stage

    atexit.register(os.abort)
    print(json.dumps({"step": 1}))
    save_stage(SimpleNamespace(state=SimpleNamespace(global_step=1, max_steps=2)), "nowhere")


def large_image(path: str, seed: int) -> dict:
    """Whether an image above Pillow's limit opens once a run has begun."""
    from llava.ndino.images import image_module
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
        "after": list(image_module(train.DataArguments()).open(path).size),
        "gpus": arguments._n_gpu,
        "attention": arguments.attn_implementation,
        "flash_attn": is_flash_attn_2_available(),
    }


def opened(checkpoint: str, rows: str, images: str, names: list[str], background: str, out: str) -> dict:
    """What upstream's data loader makes of images: tiles into ``out``, and sizes or the reason of failure."""
    _, dataset, _ = _load(checkpoint, rows, images, "llava_llama_3", 512)
    dataset.data_args.background = background
    tiles, found = {}, {}
    for name in names:
        try:
            tiles[name], found[name], _ = dataset.process_image(name)
        except ValueError as error:
            found[name] = str(error)
    save_file(tiles, out)
    return found


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
