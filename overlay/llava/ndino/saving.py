"""The result of a stage: a whole checkpoint in upstream's layout, in the projector's stage as well."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from llava.model.language_model.llava_llama import LlavaConfig

from ndino.common.files import whole_folder, write_json
from ndino.train.manifest import peak_rss_mb, surroundings

RESULT = "upstream"
FACTS = "training.json"


def save_stage(trainer, output_dir: str) -> None:
    """Write ``output_dir/upstream``: weights, config, tokenizer, and what `ndino.llava_next` puts on record.

    Takes the place of ``safe_save_model_for_hf_trainer``, which calls CUDA on any machine and leaves language
    model, tower and image_newline out of the projector's stage. The folder appears whole or not at all; when
    training was stopped before its last step, not at all.
    """
    if trainer.state.global_step < trainer.state.max_steps:
        return
    folder = Path(output_dir) / RESULT
    writes = trainer.args.should_save
    # Every rank takes part in gathering the weights, and under the same name.
    other_ranks = contextlib.nullcontext(folder.with_name(f"{RESULT}.partial"))
    with whole_folder(folder) if writes else other_ranks as made:
        trainer.accelerator.wait_for_everyone()
        trainer.save_model(str(made))
        trainer.accelerator.wait_for_everyone()
        if writes:
            # A pickle of paths and times: no stage needs it, and two equal runs would differ by it.
            (made / "training_args.bin").unlink(missing_ok=True)
            _settle_config(made / "config.json")
            write_json(made / FACTS, _facts(trainer))
    trainer.accelerator.wait_for_everyone()


def _settle_config(path: Path) -> None:
    # Upstream trains a LlavaLlama under a plain LLaMA's config, and so its checkpoints misname themselves.
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    write_json(path, {**config, "model_type": LlavaConfig.model_type})


def _facts(trainer) -> dict:
    history = trainer.state.log_history
    return {
        **surroundings(),
        "ranks": trainer.args.world_size,
        "steps": trainer.state.global_step,
        "tokens": trainer.state.num_input_tokens_seen,
        "train_loss": next((row["train_loss"] for row in reversed(history) if "train_loss" in row), None),
        "loss_curve": [[row["step"], row["loss"]] for row in history if "loss" in row],
        "peak_rss_mb": peak_rss_mb(),
    }
