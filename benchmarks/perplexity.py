"""Perplexity with shared prefixes and answer logits only, against one sample at a time with all logits.

    python -m benchmarks.perplexity             about a minute
    python -m benchmarks.perplexity --turns 1   less of it

The other way is that of the paper's released script: processor, model with labels, the model's own loss.
Three measurements with random weights, in float32 on one thread:

  one answer per image     CPU seconds, theirs over ours, on a model with the 8B model's proportions
                           (output layer 7 to 8 % of the body, tower 4 to 5 %, tokens / hidden size 0.6)
  eight answers per image  the same model
  memory                   peak above the loaded model, ours over theirs, with LLaMA 3's vocabulary; each
                           way in its own process

Both ways read the same images and texts, preprocessing included, in turns within one run.

Goals: 1.0, 3.0 and 0.2, with values that differ by at most 1e-5. The last line is JSON: ``name``, ``ratio``
and ``goal`` (one value per measurement), ``equal`` (the values) and ``conditions``.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

from benchmarks.bench.result import print_result
from benchmarks.shape_matched import build_model, llama_config, proportions, save_model
from fixtures.tiny import CORPUS
from ndino.common.images import image_digest
from ndino.evaluation.models import find_model
from ndino.evaluation.perplexity.answer_sets import AnswerItem
from ndino.evaluation.perplexity.loading import load_scorer
from ndino.evaluation.perplexity.scorer import Scorer

ROOT = Path(__file__).resolve().parents[1]
GOALS = {"one_answer": 1.0, "eight_answers": 3.0, "memory": 0.2}
RELATIVE = 1e-5  # largest relative difference of equal values
SIDE = 112
PINPOINTS = [[224, 224], [112, 224], [224, 112]]
VOCABULARY = 128256
IMAGES, SHARED_IMAGES, ANSWERS = 16, 3, 8


def write_model(folder: Path, *, vocabulary: int, hidden: int, layers: int) -> Path:
    """Write a model for which an image of 200 × 200 pixels becomes 336 tokens."""
    text = llama_config(vocabulary=vocabulary, hidden=hidden, layers=layers)
    return save_model(
        build_model(text, side=SIDE, pinpoints=PINPOINTS, tower_layers=4, tower_heads=6), folder
    )


def make_items(images: int, answers: int) -> list[AnswerItem]:
    """Questions about images of noise, answers of about 10 to 30 tokens; neighbours differ in image."""
    draw = random.Random(0)
    words = " ".join(CORPUS).split()
    contents = []
    for number in range(images):
        pixels = np.random.default_rng(number).integers(256, size=(200, 200, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        contents.append(buffer.getvalue())

    def item(round_: int, number: int, content: bytes) -> AnswerItem:
        answer = " ".join(draw.choices(words, k=draw.randint(6, 14)))
        return AnswerItem(f"{number}-{round_}", "Cosa vedi?", answer, image_digest(content), lambda: content)

    return [item(r, n, content) for r in range(answers) for n, content in enumerate(contents)]


@torch.inference_mode()
def one_at_a_time(scorer: Scorer, items: Sequence[AnswerItem]) -> list[float]:
    """The other way: logits of all positions and the model's own loss, summed over the answer tokens."""
    losses = []
    tokenizer = scorer.processor.tokenizer
    for item in items:
        prompt = (
            f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<image>\n{item.question}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        )
        answer = f"{item.answer}<|eot_id|>"
        with Image.open(io.BytesIO(item.image())) as image:
            inputs = scorer.processor(
                images=image.convert("RGB"),
                text=prompt + answer,
                add_special_tokens=False,
                return_tensors="pt",
            )
        tokens = len(tokenizer(answer, add_special_tokens=False)["input_ids"])
        labels = inputs["input_ids"].clone()
        labels[:, :-tokens] = -100
        losses.append(scorer.model(**inputs, labels=labels).loss.item() * tokens)
    return losses


def ours(scorer: Scorer, items: Sequence[AnswerItem]) -> list[float]:
    found = [score.nll for score in scorer(items) if score.nll is not None]
    assert len(found) == len(items)  # none is skipped
    return found


WAYS: dict[str, Callable[[Scorer, Sequence[AnswerItem]], list[float]]] = {
    "one_at_a_time": one_at_a_time,
    "ours": ours,
}


def seconds_of(scorer: Scorer, items: Sequence[AnswerItem], turns: int) -> tuple[dict[str, float], float]:
    """Lowest CPU seconds of each way, and the largest relative difference of the values."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    values: dict[str, list[float]] = {}
    for run in WAYS.values():
        run(scorer, items[:2])  # warm-up: the first call allocates what later ones reuse
    for turn in range(turns):
        for way in list(WAYS)[:: 1 if turn % 2 == 0 else -1]:
            started = time.process_time()
            values[way] = WAYS[way](scorer, items)
            found[way].append(time.process_time() - started)
    return {way: min(taken) for way, taken in found.items()}, difference(*values.values())


def difference(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) / abs(a) for a, b in zip(one, other, strict=True))


def peak_of(way: str, folder: Path) -> None:
    """Print the peak memory above the loaded model, and the values. Runs in its own process."""
    torch.set_num_threads(1)
    scorer = load_scorer(find_model("large", str(folder)))
    items = make_items(4, 2)
    WAYS[way](scorer, items[:1])  # warm-up: the libraries' own buffers do not count
    # Writing 5 resets the kernel's high-water mark (VmHWM) to the current resident size.
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    values = WAYS[way](scorer, items)
    print(json.dumps({"peak_mib": memory("VmHWM") - before, "values": values}))


def memory(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure_memory(folder: Path) -> tuple[dict[str, float], float]:
    made = {}
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.perplexity", "--peak", way, str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        made[way] = json.loads(done.stdout.splitlines()[-1])
    values = [each["values"] for each in made.values()]
    return {way: each["peak_mib"] for way, each in made.items()}, difference(*values)


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=2, help="times that each way is measured (default: 2)")
    parser.add_argument("--peak", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    if options.peak:
        peak_of(options.peak[0], Path(options.peak[1]))
        return 0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="ndino-perplexity-") as temporary:
        small = write_model(Path(temporary) / "small", vocabulary=4608, hidden=640, layers=8)
        scorer = load_scorer(find_model("small", str(small)))
        single, single_off = seconds_of(scorer, make_items(IMAGES, 1), options.turns)
        print(f"one answer an image: {single}", flush=True)
        shared, shared_off = seconds_of(scorer, make_items(SHARED_IMAGES, ANSWERS), options.turns)
        print(f"{ANSWERS} answers an image: {shared}", flush=True)
        large = write_model(Path(temporary) / "large", vocabulary=VOCABULARY, hidden=128, layers=2)
        peak, peak_off = measure_memory(large)
        print(f"peak above the loaded model, MiB: {peak}", flush=True)
    off = max(single_off, shared_off, peak_off)
    print_result(
        "perplexity",
        ratio={
            "one_answer": round(single["one_at_a_time"] / single["ours"], 2),
            "eight_answers": round(shared["one_at_a_time"] / shared["ours"], 2),
            "memory": round(peak["ours"] / peak["one_at_a_time"], 3),
        },
        goal=GOALS,
        equal=off <= RELATIVE,
        conditions={
            "measure": "CPU seconds, the other way over ours; memory: peak, ours over the other way",
            "largest_relative_difference": float(f"{off:.1e}"),
            "cpu_seconds": {
                "one_answer": {way: round(value, 2) for way, value in single.items()},
                "eight_answers": {way: round(value, 2) for way, value in shared.items()},
            },
            "peak_mib": {way: round(value, 1) for way, value in peak.items()},
            "images": {"one_answer": IMAGES, "eight_answers": SHARED_IMAGES},
            "parameters_beside_the_body": proportions(scorer.model),
            "vocabulary_of_memory": VOCABULARY,
            "dtype": "float32",
            "turns": options.turns,
            "threads": 1,
        },
    )
    return 0 if off <= RELATIVE else 1


if __name__ == "__main__":
    sys.exit(main())
