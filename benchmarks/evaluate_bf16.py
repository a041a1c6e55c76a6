"""In bf16, does llava_next_it's shared prefix cache change more answers than ordinary batches do?

    python -m benchmarks.evaluate_bf16             2,016 questions; about four minutes

In bf16, every different order of summation changes some answers. The same questions are answered in fp32 and,
with the same weights (rounded to bf16 beforehand, so that only the arithmetic differs), in bf16 in three
ways: packed behind a shared prefix as llava_next_it does, in ordinary left-padded batches, and one at a time.
The models are random, with seeds 0, 1, 2, …; none was selected by its result.

Goal: packed answers differ from fp32's at most as often as those of ordinary batches, or more often only by
chance. It fails if they differ significantly more often (McNemar's two-sided test over questions, p < 0.05),
for whole answers or for first tokens, or if packed and ordinary answers differ in fp32. The last line is
JSON: ``name``, ``ratio`` (different answers, packed over ordinary), ``goal``, ``equal`` (in fp32) and
``conditions``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from lmms_eval.models.simple.llava_next_it import LlavaNextIt
from loguru import logger
from PIL import Image
from tqdm import tqdm

from benchmarks import evaluate
from benchmarks.bench.result import print_result
from benchmarks.evaluate import ASKED, INSTRUCTION, SHAPES, language_model, let_it_end, requests
from benchmarks.shape_matched import build_model, save_model
from ndino.results.statistics import ALPHA, discordant, mcnemar_test, permutation_test

SEEDS, IMAGES, QUESTIONS = 8, 14, 18
HIDDEN, LAYERS, VOCABULARY, SIDE = 256, 4, 1024, 112
# Scaled by width, so that this narrower model reacts to its input as strongly as that of
# benchmarks/evaluate.py.
SPREAD = evaluate.SPREAD * (evaluate.HIDDEN / HIDDEN) ** 0.5
# Squares per side of an image. They must be coarse: images of fine noise look alike to a random tower.
SQUARES = 7

Answer = tuple[int, ...]


class TokenIdAnswers(LlavaNextIt):
    """llava_next_it that returns token ids, including the end token, instead of text."""

    def _text(self, ids: Sequence[int]) -> str:
        ends = [place for place, token in enumerate(ids) if token in self.stop_ids]
        return " ".join(map(str, ids[: ends[0] + 1] if ends else ids))


def write_model(folder: Path, seed: int) -> None:
    """Write a random model whose weights are representable in bf16, in Hugging Face format."""
    text = language_model(hidden=HIDDEN, heads=4, layers=LAYERS, vocabulary=VOCABULARY, spread=SPREAD)
    pinpoints = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    model = build_model(text, side=SIDE, pinpoints=pinpoints, tower_layers=3, tower_heads=3, seed=seed)
    let_it_end(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.bfloat16())
    save_model(model, folder)


def documents(seed: int) -> list[dict]:
    """``QUESTIONS`` different questions about each of ``IMAGES`` images."""
    noise = np.random.default_rng(seed)
    texts = [text.format(shape) + INSTRUCTION for text in ASKED for shape in SHAPES]
    made = []
    for _ in range(IMAGES):
        squares = noise.integers(0, 256, (SQUARES, SQUARES, 3), dtype=np.uint8)
        image = Image.fromarray(squares).resize((evaluate.WIDTH, evaluate.HEIGHT), Image.Resampling.NEAREST)
        chosen = noise.choice(len(texts), QUESTIONS, replace=False)
        made += [{"question": texts[i], "image": image} for i in chosen]
    return made


def answer(folder: Path, asked: list[dict], dtype: str, *, packed: bool, batch: int) -> list[Answer]:
    model = TokenIdAnswers(str(folder), device="cpu", dtype=dtype, batch_size=batch)
    if not packed:
        model.prefix_sharing = replace(model.prefix_sharing, model_blocker="ordinary batches are wanted")
    model.on_answered = lambda answered: None
    model.task_dict = {"task": {"test": asked}}
    return [tuple(map(int, text.split())) for text in model.generate_until(requests(asked))]


def answers_of(seed: int) -> dict[str, list[Answer]]:
    """Answer all questions with the model of one seed, in every way."""
    asked = documents(seed)
    with tempfile.TemporaryDirectory(prefix="ndino-bf16-") as temporary:
        folder = Path(temporary)
        write_model(folder, seed)
        return {
            "fp32": answer(folder, asked, "float32", packed=True, batch=QUESTIONS),
            "fp32_ordinary": answer(folder, asked, "float32", packed=False, batch=QUESTIONS),
            "packed": answer(folder, asked, "bfloat16", packed=True, batch=QUESTIONS),
            "ordinary": answer(folder, asked, "bfloat16", packed=False, batch=QUESTIONS),
            "one_at_a_time": answer(folder, asked, "bfloat16", packed=False, batch=1),
        }


def compare(exact: Sequence[Answer], packed: Sequence[Answer], other: Sequence[Answer]) -> dict[str, Any]:
    """Count on how many questions two ways differ from ``exact``.

    ``only_packed`` and ``only_other`` count the questions on which only that way differs. ``worse`` means
    that packed answers differ significantly more often.
    """
    flips = [[int(a != b) for a, b in zip(way, exact, strict=True)] for way in (packed, other)]
    only_other, only_packed = discordant(*flips)
    test = mcnemar_test(only_other, only_packed)
    return {
        "packed": sum(flips[0]),
        "other": sum(flips[1]),
        "only_packed": only_packed,
        "only_other": only_other,
        "p": round(test.p, 4),
        "test": f"McNemar, {test.test}",
        "worse": only_packed > only_other and test.p < ALPHA,
    }


def p_over_images(exact: Sequence[Answer], packed: Sequence[Answer], other: Sequence[Answer]) -> float:
    """p-value of a permutation test over images, as questions about one image share its rounding errors."""
    shares = [
        np.reshape([a != b for a, b in zip(way, exact, strict=True)], (-1, QUESTIONS)).mean(1).tolist()
        for way in (packed, other)
    ]
    return round(permutation_test(*shares).p, 4)


def summary(found: dict[str, list[Answer]], seeds: Sequence[int]) -> tuple[dict[str, Any], bool]:
    """What to print, and whether packed answers are as good as those of ordinary batches."""
    exact, packed, ordinary = found["fp32"], found["packed"], found["ordinary"]
    first = {way: [answer[:1] for answer in answers] for way, answers in found.items()}
    whole = compare(exact, packed, ordinary)
    beginning = compare(first["fp32"], first["packed"], first["ordinary"])
    good = not (whole["worse"] or beginning["worse"])
    line = {
        "name": "evaluate, bf16",
        "ratio": round(whole["packed"] / whole["other"], 3) if whole["other"] else None,
        "goal": 1.0,
        "equal": exact == found["fp32_ordinary"],
        "conditions": {
            "measure": "answers that differ from fp32's, packed over ordinary batches",
            "rule": f"at most the goal, or above it by chance (McNemar's test, two-sided, p >= {ALPHA})",
            "worse": not good,
            "questions": len(exact),
            "images": len(exact) // QUESTIONS,
            "seeds": list(seeds),
            "whole_answer": whole,
            "first_token": beginning,
            "p_over_images": p_over_images(exact, packed, ordinary),
            "against_one_at_a_time": compare(exact, packed, found["one_at_a_time"]),
            "different_answers": len(set(exact)),
            "answer_tokens": round(statistics.mean(map(len, exact)), 1),
            "batch": QUESTIONS,
            "device": "cpu",
        },
    }
    return line, good


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"models, from seed 0 on (default: {SEEDS})")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logger.remove()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    seeds = range(options.seeds)
    found: dict[str, list[Answer]] = {}
    for seed in tqdm(seeds, desc="Models"):
        for way, answers in answers_of(seed).items():
            found.setdefault(way, []).extend(answers)
    line, good = summary(found, seeds)
    print_result(**line, packages=("torch", "transformers", "lmms_eval"))
    return 0 if good and line["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
