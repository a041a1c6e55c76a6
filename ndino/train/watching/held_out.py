"""Rows that are never trained on: their loss at each checkpoint, and what the model says of one image."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from transformers import LlavaNextForConditionalGeneration, Trainer, TrainerCallback

from ndino.common.files import write_text
from ndino.common.parsing import parse_json
from ndino.formats.prompts import (
    END_HEADER,
    END_OF_TEXT,
    END_OF_TURN,
    IGNORE_INDEX,
    START_HEADER,
    has_llama3_markers,
)
from ndino.train.batches import Collator, TrainingBatch
from ndino.train.dataset import ConversationDataset, TrainingSample
from ndino.train.health.last_steps import evaluating
from ndino.train.loss import last_hidden_state
from ndino.train.rows.encoding import EncodedRow
from ndino.train.rows.index import RowIndex
from ndino.train.stage import StageError

SAMPLES = "samples.jsonl"  # in the run folder: {step, row, image, answer, caption}
CAPTION_TOKENS = 32


@dataclass(frozen=True)
class IndexPart(RowIndex):
    """Some rows of an index, in its order; ``positions`` int64 ``(rows,)`` are those in the whole index."""

    positions: np.ndarray

    def _column(self, name: str) -> np.ndarray:
        return super()._column(name)[self.positions]

    @property
    def has_images(self) -> bool:
        """Whether any of these rows has an image."""
        chunks = self.table.data.column("images").chunks
        counts = np.concatenate([chunk.value_lengths().to_numpy() for chunk in chunks])
        return bool(counts[self.positions].any())

    def __len__(self) -> int:
        return len(self.positions)

    def _row(self, position: int) -> EncodedRow:
        return super()._row(int(self.positions[position]))


def hold_out(index: RowIndex, count: int, *, seed: int) -> tuple[RowIndex, IndexPart | None]:
    """Divide an index into rows to train on and ``count`` rows to evaluate on (None for 0).

    Which rows these are depends on seed and row numbers only: those with the smallest hashes.

    Raises:
        StageError: no row would be left to train on.
    """
    if count == 0:
        return index, None
    if count >= len(index):
        raise StageError(
            f"eval_rows: {count} of {len(index)} usable rows leave none to train on "
            f"(remedy: set eval_rows: {len(index) - 1} or less)"
        )
    numbers = index.row_numbers
    order = sorted(range(len(index)), key=lambda place: _hash(seed, int(numbers[place])))
    held = np.sort(np.asarray(order[:count], dtype=np.int64))
    trained = np.setdiff1d(np.arange(len(index)), held)
    parts = (IndexPart(index.folder, index.rejects, index.table, part) for part in (trained, held))
    training, evaluation = parts
    return training, evaluation


def _hash(seed: int, row: int) -> bytes:
    return hashlib.blake2b(f"{seed} {row}".encode(), digest_size=8).digest()


class HeldOut(TrainerCallback):
    """At each checkpoint logs ``eval_loss``, the mean over supervised tokens, and writes one caption.

    Nothing random is drawn and no gradient is kept, so training is the same with and without it. Ranks share
    the rows. The caption is greedy, of the first held-out row with an image, after the row's own prompt.
    Where ranks share the weights (FSDP, ZeRO-3) there is none: it would gather them for every token.
    """

    def __init__(self, trainer: Trainer, dataset: ConversationDataset, collator: Collator, out: Path) -> None:
        self.trainer = trainer
        self.dataset = dataset
        self.collator = dataclasses.replace(collator, packing=False)
        self.out = out

    def on_save(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        if control.should_training_stop and state.global_step < state.max_steps:
            return  # a signal: there may be seconds left, and a resume evaluates this checkpoint
        self._evaluate(args, state, control)

    def on_train_begin(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        # The checkpoint that is resumed from was written before its own loss was known.
        known = [row["step"] for row in state.log_history if "eval_loss" in row]
        if state.global_step and state.global_step not in known:
            self._evaluate(args, state, control)

    def _evaluate(self, args: Any, state: Any, control: Any) -> None:
        # By Trainer's log, so that the curve reaches every service.
        self.trainer.log({"eval_loss": round(self.loss(), 6)})
        trainer = self.trainer
        if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled) and state.is_world_process_zero:
            self._write_caption(state.global_step)
        # As Trainer's own evaluation does: its time is none of training.
        trainer.callback_handler.on_evaluate(args, state, control, metrics={})

    def loss(self) -> float:
        """Cross-entropy of all supervised tokens of the held-out rows, in nats; all ranks call this."""
        args, model = self.trainer.args, self.trainer.model_wrapped
        assert model is not None
        size = args.per_device_train_batch_size
        places = [
            range(start, min(start + size, len(self.dataset))) for start in range(0, len(self.dataset), size)
        ]
        ranks, rank = args.world_size, args.process_index
        total = torch.zeros(2, dtype=torch.float64)
        with evaluating(model):
            for first in range(0, len(places), ranks):
                # Ranks that share weights run the model together: one without a batch of its own repeats the
                # first, which then does not count.
                own = first + rank < len(places)
                batch = self._batch([self.dataset[place] for place in places[first + rank if own else 0]])
                with torch.no_grad(), self.trainer.compute_loss_context_manager():
                    summed = float(model(**batch, supervised_tokens=1))
                if own:
                    supervised = int((batch["labels"][:, 1:] != IGNORE_INDEX).sum())
                    total += torch.tensor([summed, supervised], dtype=torch.float64)
        if dist.is_initialized():
            shared = total.to(args.device)
            dist.all_reduce(shared)
            total = shared.cpu()
        return float(total[0] / total[1])

    def _batch(self, samples: Sequence[TrainingSample]) -> dict[str, Any]:
        batch: dict[str, Any] = {**self.collator(samples)}
        del batch["rows"]
        return {name: value.to(self.trainer.args.device) for name, value in batch.items()}

    def _write_caption(self, step: int) -> None:
        place = next((place for place in range(len(self.dataset)) if self.dataset.index[place].images), None)
        if place is None:
            return
        sample = self.dataset[place]
        row = self.dataset.index[place]
        model = cast(
            "LlavaNextForConditionalGeneration", self.trainer.accelerator.unwrap_model(self.trainer.model)
        )
        tokenizer: Any = cast("Any", self.trainer.processing_class).tokenizer
        ids = sample["input_ids"]
        begun = _prompt_length(ids.tolist(), sample["labels"].tolist(), tokenizer)
        end = begun + _answer_length(ids[begun:].tolist(), tokenizer)
        wanted = tokenizer.decode(ids[begun:end], skip_special_tokens=True)
        prompt = {**sample, "input_ids": ids[:begun], "labels": sample["labels"][:begun]}
        said = self._continue(model, cast("TrainingSample", prompt), tokenizer)
        record = {"step": step, "row": row.row, "image": row.images[0], "answer": wanted, "caption": said}
        path = self.out / SAMPLES
        # A resumed run repeats the steps after its checkpoint.
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) < step]
        write_text(path, "\n".join([*kept, json.dumps(record, ensure_ascii=False)]) + "\n")

    def _continue(
        self, model: LlavaNextForConditionalGeneration, prompt: TrainingSample, tokenizer: Any
    ) -> str:
        batch = cast("TrainingBatch", self._batch([prompt]))
        ends = _ends(tokenizer)
        said: list[int] = []
        with evaluating(model), torch.no_grad(), self.trainer.compute_loss_context_manager():
            for _ in range(CAPTION_TOKENS):
                hidden = last_hidden_state(model, batch)
                logits = model.lm_head(hidden[0, -1])
                logits[model.config.image_token_id] = -torch.inf  # there is no further image
                token = int(logits.argmax())
                if token in ends:
                    break
                said.append(token)
                more = batch["input_ids"].new_tensor([[token]])
                batch["input_ids"] = torch.cat([batch["input_ids"], more], dim=1)
                batch["attention_mask"] = torch.cat([batch["attention_mask"], torch.ones_like(more)], dim=1)
        return tokenizer.decode(said, skip_special_tokens=True)


def _step_of(line: str) -> float:
    """The step of a line of `SAMPLES`; infinite for a line that is damaged, which is then dropped."""
    try:
        return float(parse_json(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf


def _ends(tokenizer: Any) -> set[int]:
    ends = [END_OF_TEXT, END_OF_TURN] if has_llama3_markers(tokenizer) else [tokenizer.eos_token]
    return {*tokenizer.convert_tokens_to_ids(ends)}


def _prompt_length(ids: Sequence[int], labels: Sequence[int], tokenizer: Any) -> int:
    """Tokens before the first answer: up to LLaMA 3's header of the assistant, else up to the first label.

    In the paper's supervision the markers of LLaMA 3's user have labels too.
    """
    header = tokenizer(f"{START_HEADER}assistant{END_HEADER}\n\n", add_special_tokens=False)["input_ids"]
    beginnings = [place for place in range(len(ids)) if list(ids[place : place + 2]) == header[:2]]
    if not beginnings:
        return next(place for place, label in enumerate(labels) if label != IGNORE_INDEX)
    begun = beginnings[0]
    # The header's newlines may be one token with the answer's own.
    same = next((n for n, token in enumerate(header) if ids[begun + n] != token), len(header))
    return begun + same


def _answer_length(ids: Sequence[int], tokenizer: Any) -> int:
    ends = _ends(tokenizer)
    return next((place for place, token in enumerate(ids) if token in ends), len(ids))
