"""Saves a stage's result: a complete checkpoint in upstream's format, in the projector stage too."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from pathlib import Path
from statistics import fmean

import torch
from llava.model.language_model.llava_llama import LlavaConfig

from ndino.common.files import atomic_folder, write_json
from ndino.formats.finite import tensors_of
from ndino.formats.model_kinds import weight_files
from ndino.train.callbacks import curve
from ndino.train.health.ending import note_failure
from ndino.train.health.learned import not_learned, nothing_learned
from ndino.train.health.ranks import any_rank, leave
from ndino.train.manifest import peak_rss_mb, surroundings

RESULT = "upstream"
FACTS = "training.json"


def save_stage(trainer, output_dir: str) -> None:
    """Save weights, config, tokenizer and facts for the manifest to ``output_dir/upstream``, atomically.

    Replaces ``safe_save_model_for_hf_trainer``, which calls CUDA on any machine and, in the projector stage,
    does not save language model, tower and image_newline. Saves nothing if training was stopped before its
    last step. It is upstream's last call, and ends the process.
    """
    if trainer.state.global_step >= trainer.state.max_steps:
        trainer.guard.check_weights(trainer.args, trainer.state, trainer.model)
        _save(trainer, output_dir)
    leave()
    # Not by the interpreter's own end. DeepSpeed keeps the group that was just left, and so gloo's threads. A
    # thread that asks for the interpreter while it ends aborts the rank, after its work is done.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _save(trainer, output_dir: str) -> None:
    folder = Path(output_dir) / RESULT
    writes = trainer.args.should_save
    # All ranks gather the weights together, and save_model wants the same folder name on each.
    other_ranks = contextlib.nullcontext(folder.with_name(f"{RESULT}.partial"))
    with atomic_folder(folder) if writes else other_ranks as made:
        trainer.accelerator.wait_for_everyone()
        trainer.save_model(str(made))
        trainer.accelerator.wait_for_everyone()
        _require_learned(trainer, made)
        if writes:
            # A pickle of paths and times. No stage reads it, and it would make equal runs differ.
            (made / "training_args.bin").unlink(missing_ok=True)
            _settle_config(made / "config.json")
            write_json(made / FACTS, _facts(trainer))
    trainer.accelerator.wait_for_everyone()


def _require_learned(trainer, folder: Path) -> None:
    args = trainer.args
    dtype = torch.bfloat16 if args.bf16 else torch.float32
    tensors = itertools.chain.from_iterable(map(tensors_of, weight_files(folder)))
    if any_rank(args.should_save and nothing_learned(trainer.begun_with, tensors, dtype), args.device):
        error = not_learned(Path(args.output_dir).resolve(), trainer.state.global_step, dtype)
        if args.should_save:
            note_failure(Path(args.output_dir), str(error))
        raise error


def _settle_config(path: Path) -> None:
    # Upstream keeps the base model's config: its checkpoints call themselves llama instead of llava_llama.
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    write_json(path, {**config, "model_type": LlavaConfig.model_type})


def _facts(trainer) -> dict:
    history = trainer.state.log_history
    losses = curve(history, "loss")
    return {
        **surroundings(),
        "ranks": trainer.args.world_size,
        "steps": trainer.state.global_step,
        "tokens": trainer.state.num_input_tokens_seen,
        # Trainer's own mean, after a resume, is the sum over the steps since then divided by all steps.
        "train_loss": fmean(loss for _, loss in losses) if losses else None,
        "loss_curve": losses,
        "warnings": trainer.last_steps.warnings,
        "peak_rss_mb": peak_rss_mb(),
    }
