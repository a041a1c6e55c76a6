"""``python -m tests.train.one_step MODEL INDEX IMAGES CASES``: one step of gradient descent for each case.

INDEX is the folder of an index. A case is ``{"out": folder, "ranks": number, "recipe": fields}``. The rate is
1, so that the weights show the gradient: the projector goes into ``projector.safetensors``, the loss into
``loss.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file

from ndino.formats.recipes import Recipe
from ndino.train.batches import Collator
from ndino.train.build import load_model
from ndino.train.dataset import ConversationDataset
from ndino.train.engine import fit_to_rows, training_arguments
from ndino.train.loss import patch_forward
from ndino.train.rows.index import open_index
from ndino.train.trainer import NativeTrainer, set_trainable
from tests.ranks import fork_ranks


def one_step(model_folder: Path, index: Path, images: Path, out: Path, recipe: Recipe) -> None:
    model, processor = load_model(model_folder, recipe)
    dataset = ConversationDataset(open_index(index), images, processor)
    set_trainable(model, recipe.trained_parts)
    patch_forward(model)
    arguments = training_arguments(recipe, out, quiet=True)
    fit_to_rows(arguments, recipe, dataset.lengths)
    arguments.max_grad_norm = 0.0
    optimizer = torch.optim.SGD(filter(lambda weight: weight.requires_grad, model.parameters()), lr=1.0)
    trainer = NativeTrainer(
        recipe=recipe,
        model=model,
        args=arguments,
        train_dataset=dataset,
        data_collator=Collator(model.config.image_token_id, processor.tokenizer.pad_token_id),
        processing_class=processor,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)),
    )
    trainer.train()
    if trainer.is_world_process_zero():
        save_file(model.model.multi_modal_projector.state_dict(), out / "projector.safetensors")
        (out / "loss.json").write_text(json.dumps(trainer.state.log_history[0]["loss"]))


def main() -> None:
    model, index, images = map(Path, sys.argv[1:4])
    for case in json.loads(sys.argv[4]):
        out = Path(case["out"])
        out.mkdir()
        recipe = TypeAdapter(Recipe).validate_json(json.dumps(case["recipe"]))
        fork_ranks(case["ranks"], lambda out=out, recipe=recipe: one_step(model, index, images, out, recipe))


if __name__ == "__main__":
    main()
