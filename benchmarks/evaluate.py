"""Questions per CPU second: llava_next_it against lmms-eval's llava_hf, on the same weights and questions.

    python -m benchmarks.evaluate                  1, 31 and 18 questions per image; about five minutes
    python -m benchmarks.evaluate --questions 18 --turns 1

llava_next_it encodes an image and its prompt's prefix once for all questions about the image. The model is
random, with the proportions of the 8B model (``benchmarks/shape_matched.py``); most of a prompt is the image.
The output layer is scaled so that answers end after a few tokens, as a trained model's do. Both sides run in
one process on one thread, in turns, and the lowest CPU time of each counts. llava_hf runs at batch size 1,
the only one it supports.

Goal: 0.9 times llava_hf's speed with 1 question per image, 9 with 18, 14 with 31, with equal answers. Each
case prints a line of JSON, the last case last: ``name``, ``ratio``, ``goal``, ``equal`` (same answers) and
``conditions``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from lmms_eval.api.instance import Instance
from lmms_eval.models.simple.llava_hf import LlavaHf
from lmms_eval.models.simple.llava_next_it import LlavaNextIt
from loguru import logger
from PIL import Image
from transformers import GenerationConfig, LlamaConfig, LlavaNextForConditionalGeneration

from benchmarks.bench.result import print_result
from benchmarks.shape_matched import build_model, proportions, save_model
from fixtures.tiny import tiny_tokenizer
from ndino.common.transformers_types import special_tokens

GOALS = {1: 0.9, 18: 9.0, 31: 14.0}
HIDDEN, LAYERS, VOCABULARY = 1536, 2, 3072
SIDE = 210
PINPOINTS = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
WIDTH, HEIGHT = 640, 480
# With this standard deviation of the weights, answers depend on image and question. Scaling the end token's
# row of the output layer by this factor makes it the most likely token after about four tokens.
SPREAD, END_FACTOR = 0.05, 8.0
SHAPES = ["il cerchio", "il quadrato", "il triangolo", "la stella", "un cane", "un gatto", "l'orso"]
ASKED = [
    "Di che colore è {}?",
    "Quanti sono? Guarda {}.",
    "C'è {} nell'immagine?",
    "Che cosa c'è vicino a {}?",
]
INSTRUCTION = "\nRispondi utilizzando una sola parola o frase."
# The generation settings of the Italian tasks with short answers.
SETTINGS = {"max_new_tokens": 16, "temperature": 0.0, "top_p": 1.0, "num_beams": 1, "do_sample": False}


def write_model(folder: Path) -> dict[str, float]:
    """Write a model that ends its answers, in Hugging Face format; returns its proportions."""
    text = language_model(
        hidden=HIDDEN, heads=HIDDEN // 128, layers=LAYERS, vocabulary=VOCABULARY, spread=SPREAD
    )
    model = build_model(text, side=SIDE, pinpoints=PINPOINTS, tower_layers=6, tower_heads=3)
    let_it_end(model)
    save_model(model, folder)
    return proportions(model)


def language_model(*, hidden: int, heads: int, layers: int, vocabulary: int, spread: float) -> LlamaConfig:
    """LLaMA 3's proportions, with a key and value for four heads."""
    return LlamaConfig(
        hidden_size=hidden,
        intermediate_size=hidden * 7 // 2,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 4,
        vocab_size=vocabulary,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        initializer_range=spread,
    )


def let_it_end(model: LlavaNextForConditionalGeneration) -> None:
    """Make a random model say only what its tokenizer knows, and end now and then."""
    tokenizer = tiny_tokenizer()
    with torch.no_grad():
        model.lm_head.weight[len(tokenizer) :] = 0  # ids that the tokenizer lacks
        model.lm_head.weight[special_tokens(tokenizer).eos_token_id] *= END_FACTOR
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )


def documents(questions: int, images: int) -> list[dict]:
    """``questions`` different questions about each of ``images`` images, grouped by image."""
    noise = np.random.default_rng(0)
    made = []
    for number in range(images):
        image = Image.fromarray(noise.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        for i in range(questions):
            text = ASKED[(number + i) % len(ASKED)].format(SHAPES[(number + i) // len(ASKED) % len(SHAPES)])
            twice = " Sì o no?" if i >= len(ASKED) * len(SHAPES) else ""
            made.append({"question": text + twice + INSTRUCTION, "image": image})
    return made


def requests(asked: list[dict]) -> list[Instance]:
    def visuals(row: dict) -> list[Image.Image]:
        return [row["image"].convert("RGB")]

    return [
        Instance(
            "generate_until",
            (row["question"], dict(SETTINGS), visuals, i, "task", "test"),
            0,
            {"task": "task", "doc_id": i, "repeats": 1},
        )
        for i, row in enumerate(asked)
    ]


def measure(model: LlavaNextIt | LlavaHf, asked: list[dict]) -> tuple[float, list[str]]:
    """CPU seconds and answers of one side."""
    model.task_dict = {"task": {"test": asked}}
    made = requests(asked)
    started = time.process_time()
    answers = model.generate_until(made)
    return time.process_time() - started, answers


def compare(ours: LlavaNextIt, theirs: LlavaHf, questions: int, turns: int) -> dict[str, Any]:
    """Measure both sides, in turns, with this number of questions per image; returns what to print."""
    images = 16 if questions == 1 else 1
    asked = documents(questions, images)
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    answers: dict[str, list[str]] = {}
    tokens: list[int] = []
    language_model: Any = theirs.model
    counter = language_model.lm_head.register_forward_hook(lambda *_: tokens.append(1))
    for _ in range(turns):
        for name, model in (("ours", ours), ("theirs", theirs)):
            spent, answers[name] = measure(model, asked)
            seconds[name].append(spent)
            print(f"{questions} an image, {name}: {spent:.2f} CPU s", file=sys.stderr, flush=True)
    counter.remove()
    best = {name: min(values) for name, values in seconds.items()}
    prompts = [ours._question("", request) for request in requests(asked)]
    length = statistics.mean(prompt.length for prompt in prompts)
    return {
        "name": f"evaluate, {questions} question{'s' if questions > 1 else ''} an image",
        "ratio": round(best["theirs"] / best["ours"], 2),
        "goal": GOALS.get(questions),
        "equal": answers["ours"] == answers["theirs"],
        "conditions": {
            "measure": "questions per CPU second, llava_next_it over lmms-eval's llava_hf at batch 1",
            "questions": len(asked),
            "images": images,
            "cpu_seconds": {name: round(value, 2) for name, value in best.items()},
            "prompt_tokens": round(length, 1),
            "image_share": round(prompts[0].images[0].tokens / length, 3),
            "prompt_over_hidden": round(length / HIDDEN, 2),
            "answer_tokens": round(len(tokens) / turns / len(asked), 1),
            "different_answers": len(set(answers["theirs"])),
        },
    }


def run_cases(
    description: str | None,
    default: list[int],
    compare: Callable[[LlavaNextIt, LlavaHf, int, int], dict[str, Any]],
    **theirs_only: Any,
) -> int:
    """Read the command line, compare both sides with each number of questions an image, and print it.

    Args:
        default: numbers of questions per image.
        compare: as `compare`.
        theirs_only: arguments of llava_hf alone.

    Returns:
        the exit code: 1 where a case's sides differ.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    shown = " ".join(map(str, default))
    add("--questions", type=int, nargs="+", default=default, help=f"an image (default: {shown})")
    add("--turns", type=int, default=2, help="measurements of each side (default: 2)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logger.remove()
    transformers.logging.set_verbosity_error()
    equal = True
    with tempfile.TemporaryDirectory(prefix="ndino-benchmark-") as temporary:
        shape = write_model(Path(temporary))
        ours = LlavaNextIt(temporary, device="cpu", dtype="float32")
        ours.on_answered = lambda answered: None
        theirs = LlavaHf(
            temporary, device="cpu", device_map="cpu", dtype="float32", batch_size=1, **theirs_only
        )
        for questions in options.questions:
            found = compare(ours, theirs, questions, options.turns)
            equal = equal and bool(found["equal"])
            found["conditions"] |= {
                "parameters_beside_the_body": shape,
                "turns": options.turns,
                "threads": 1,
                "dtype": "float32",
                "attention": ours.model.config.get_text_config()._attn_implementation,
            }
            print_result(**found, packages=("torch", "transformers", "lmms_eval"))
    return 0 if equal else 1


def main() -> int:
    return run_cases(__doc__, [1, 31, 18], compare)


if __name__ == "__main__":
    sys.exit(main())
