"""Caption images with the plain prompt, the format of pre-training, and score exact matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from transformers import LlavaNextForConditionalGeneration, LlavaNextProcessor

from miniature.kinds import COMMAND
from ndino.common.files import key_of
from ndino.common.images import image_sha256
from ndino.common.transformers_types import generate
from ndino.evaluation.benchmarks import EXAMPLE_IMAGES, TaskOutcome, save_image
from ndino.evaluation.controls import RIGHT, SHUFFLED
from ndino.evaluation.lmms_eval_adapter.models import wrapper_identity
from ndino.evaluation.models import HF, find_model
from ndino.evaluation.provenance import answers_depend_on
from ndino.evaluation.shuffle import shuffle_map
from ndino.evaluation.store import ResultsStore
from ndino.formats.hub_folders import content_key, load_folder
from ndino.formats.prompts import IMAGE_TOKEN, plain_markers

TASK = "captions"
VERSION = 1.0
BATCH = 60  # images per generation batch
MAX_NEW_TOKENS = 64


def score_captions(
    name: str, folder: Path, data: Path, out: Path, report: Callable[[int, int], object]
) -> None:
    """Caption the images of ``data``, then with shuffled images, and save both logs to ``out/name``.

    ``folder`` is the model. ``report`` is called with (done, total). A log that exists for the same model and
    data is kept.
    """
    model = find_model(name, str(folder))
    store = ResultsStore(out / name, model)
    rows = load_folder(data, split="test")
    depends = {
        "answers": answers_depend_on(model, HF, wrapper_identity(HF)),
        "task": {"version": VERSION, "data": content_key(data), "generation": MAX_NEW_TOKENS},
    }
    order = shuffle_map(range(len(rows)))
    for control in (RIGHT, SHUFFLED):
        if store.done(TASK, depends, control):
            continue
        images: list[Any] = [rows[order[index] if control else index]["image"] for index in range(len(rows))]
        outcome = _generate(folder, cast("Sequence[str]", rows["answer"]), images, bool(control), report)
        if control:
            store.save_control(TASK, control, outcome.rows, outcome.metrics)
            continue
        store.save(
            TASK,
            depends,
            outcome.rows,
            outcome.metrics,
            version=VERSION,
            majority={"exact_match": 0.0},
            renewed_by=COMMAND,
        )
        for index in range(min(EXAMPLE_IMAGES, len(images))):
            save_image(images[index], out / "images" / TASK / f"{index}.png")


def _generate(
    folder: Path,
    targets: Sequence[str],
    images: list[Image.Image],
    shuffled: bool,
    report: Callable[[int, int], object],
) -> TaskOutcome:
    model = LlavaNextForConditionalGeneration.from_pretrained(folder).eval()
    processor = LlavaNextProcessor.from_pretrained(folder)
    # Images of different sizes become different numbers of tokens. With padding on the left, every prompt
    # ends at the same position, where the answers start.
    processor.tokenizer.padding_side = "left"
    begin, end = plain_markers(processor.tokenizer)
    answers: list[str] = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        inputs = processor(
            images=batch,
            text=[(begin or "") + IMAGE_TOKEN] * len(batch),
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        with torch.inference_mode():
            ids = generate(
                model,
                **inputs,
                max_new_tokens=MAX_NEW_TOKENS,
                do_sample=False,
                eos_token_id=processor.tokenizer.convert_tokens_to_ids(end),
                pad_token_id=processor.tokenizer.pad_token_id,
            )
        answers += processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        report(len(answers), len(images))
    rows = [
        {
            "doc_id": index,
            "doc_hash": key_of(target),
            "question": "",
            "target": target,
            "answer": answer,
            "metrics": {"exact_match": float(answer.strip() == target)},
            "shuffled": shuffled,
            "image_sha256": image_sha256(images[index]),
        }
        for index, (target, answer) in enumerate(zip(targets, answers, strict=True))
    ]
    return TaskOutcome(rows, {"exact_match": sum(row["metrics"]["exact_match"] for row in rows) / len(rows)})
