"""Captions after pre-training: the plain prompt, whose answer is compared with the scene's own caption."""

from __future__ import annotations

from pathlib import Path

import torch
from datasets import load_dataset
from transformers import LlavaNextForConditionalGeneration, LlavaNextProcessor

from ndino.evaluation.benchmarks import Outcome
from ndino.evaluation.models import find_model, parse_backend
from ndino.evaluation.store import Store, key_of
from ndino.prompts import BEGIN_OF_TEXT, END_OF_TEXT, IMAGE_TOKEN
from ndino.shuffle import shuffle_map

TASK = "captions"
VERSION = 1.0
BATCH = 60
MAX_NEW_TOKENS = 64


def score_captions(name: str, folder: Path, data: Path, out: Path, report) -> None:
    """Caption the pictures of ``data`` and each other's, and keep both beside the model's other results."""
    model = find_model(name, str(folder), parse_backend("hf"))
    store = Store(out / name, model)
    rows = load_dataset(str(data), split="test", cache_dir=str(out / ".cache"))
    key = key_of(model.fingerprint, VERSION, rows.column_names, len(rows), rows["answer"][:])
    order = shuffle_map(range(len(rows)))
    for shuffled in (False, True):
        if store.done(TASK, key, shuffled=shuffled):
            continue
        pictures = [rows[order[index] if shuffled else index]["image"] for index in range(len(rows))]
        outcome = _ask(folder, rows["answer"], pictures, shuffled, report)
        store.save(
            TASK,
            key,
            outcome.rows,
            outcome.metrics,
            shuffled=shuffled,
            version=VERSION,
            majority={"exact_match": 0.0},
        )
        if not shuffled:
            examples = out / "images" / TASK
            examples.mkdir(parents=True, exist_ok=True)
            for index in range(3):
                rows[index]["image"].save(examples / f"{index}.png")


def _ask(folder: Path, targets, pictures, shuffled: bool, report) -> Outcome:
    model = LlavaNextForConditionalGeneration.from_pretrained(folder).eval()
    processor = LlavaNextProcessor.from_pretrained(folder)
    # A picture's size tells how many tokens it becomes, and answers begin where all rows end.
    processor.tokenizer.padding_side = "left"
    answers: list[str] = []
    for start in range(0, len(pictures), BATCH):
        batch = pictures[start : start + BATCH]
        inputs = processor(
            images=batch,
            text=[BEGIN_OF_TEXT + IMAGE_TOKEN] * len(batch),
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        with torch.inference_mode():
            ids = model.generate(
                **inputs,
                max_new_tokens=MAX_NEW_TOKENS,
                do_sample=False,
                eos_token_id=processor.tokenizer.convert_tokens_to_ids(END_OF_TEXT),
                pad_token_id=processor.tokenizer.pad_token_id,
            )
        answers += processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        report(len(answers), len(pictures))
    rows = [
        {
            "doc_id": index,
            "doc_hash": key_of(target),
            "question": "",
            "target": target,
            "answer": answer,
            "metrics": {"exact_match": float(answer.strip() == target)},
            "shuffled": shuffled,
        }
        for index, (target, answer) in enumerate(zip(targets, answers, strict=True))
    ]
    return Outcome(rows, {"exact_match": sum(row["metrics"]["exact_match"] for row in rows) / len(rows)})
