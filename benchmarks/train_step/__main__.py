"""Packed training against padded batches, the native engine without packing, and the upstream trainer.

    python -m benchmarks.train_step               ten minutes
    python -m benchmarks.train_step --no-upstream  without the third comparison, and without LLaVA-NeXT's tree

Random weights with the 8B model's proportions (output layer 7 to 8 % of the body, tower 4 to 5 %), in float32
on one thread. A third of the resolution makes a ninth of the image tokens; texts are a ninth as long. The
rows are drawn to have lengths as of a mix of The Cauldron and EUR-Lex:

  55 %  photographs (640 × 480, 480 × 640, 500 × 375, 1024 × 768), one to six short questions and answers
  20 %  figures (500 × 130 to 1000 × 1000), one or two short questions and answers
  25 %  pages of laws (A4), with 100 to 1,600 tokens of text

All ways train the same samples in the same order, with AdamW at a rate of practically 0, so that each step's
loss and gradient norm can be compared. CPU seconds are those of whole steps: reading and tiling images,
forward, backward, optimiser; of the upstream trainer, which is another process, those of twice as many steps
less those of the steps.

  plain     transformers' Trainer, random batches of 4 padded on the right, logits of all positions
  padded    the native engine, random batches of 4 padded on the right
  packed    the native engine with ``packing: true``
  upstream  the patched LLaVA-NeXT trainer, random batches of 4

Are the comparisons fair? ``plain`` is what a user of transformers writes: its Trainer, the model's own
forward pass and loss, a collator that pads. It is given two advantages: images are tiled by our code in place
of the processor's, and nothing is recomputed. It is not given grouping by length, which saves padding and
learns worse (docs/training.md). ``padded`` is the native engine as it is without packing. One thing favours
``packed``: its last layer runs its MLP at supervised positions only, and here that is one layer of 8, in the
8B model one of 32. So about 5 of the 7 % of a step that this saves here are not saved there.

Memory is the peak of a step of four samples above the loaded model with LLaMA 3's vocabulary, each way in its
own process. The useful share is that of 16 simulated ranks that wait for each other after each micro-batch.

The last line is JSON: ``name``, ``ratio`` and ``goal`` (one value per comparison), ``equal`` (losses and
gradient norms) and ``conditions``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import Trainer

from benchmarks.bench.result import print_result
from benchmarks.train_step.inputs import PINPOINTS, write_backbones, write_rows
from ndino.formats.recipes import Recipe, load_recipe
from ndino.train.batches import Collator
from ndino.train.build import build_model
from ndino.train.dataset import ConversationDataset, TrainingSample
from ndino.train.engine import fit_to_rows, training_arguments
from ndino.train.loss import patch_forward
from ndino.train.packing.model import use_packing
from ndino.train.packing.plan import PackedBatches, micro_batches
from ndino.train.rows.run_index import stage_index
from ndino.train.stage import Stage, StageError
from ndino.train.trainer import NativeTrainer, set_trainable

ROOT = Path(__file__).resolve().parents[2]
GOALS = {"plain": 1.8, "padded": 1.3, "upstream": 1.5, "memory": 0.3, "useful_share": 0.98}
RELATIVE = 1e-5  # largest relative difference of equal losses and gradient norms
VOCABULARY = 128256
BATCH, STEP, STEPS = 4, 16, 2  # samples in a micro-batch and in a step, steps
SIMULATED_RANKS, SIMULATED_ROWS = 16, 12_800


def recipe_of(**changes) -> Recipe:
    recipe = load_recipe(ROOT / "launch" / "recipes" / "it.yaml")
    fields = {
        "supervision": "answer",
        "grid_pinpoints": PINPOINTS,
        "max_length": 640,
        "effective_batch": STEP,
        "per_device_batch": BATCH,
        "loss_average": "token",
        "max_steps": STEPS,
        "epochs": None,
        "learning_rate": 1e-15,
        "vision_learning_rate": None,
        "precision": "fp32",
        "gradient_checkpointing": False,
        "save_steps": 10**6,
        "loader_workers": 0,
    }
    return dataclasses.replace(recipe, **fields | changes)


@dataclasses.dataclass(frozen=True)
class PlainCollator:
    """The padded batch in the form of transformers' processor."""

    padded: Collator

    def __call__(self, samples: Sequence[TrainingSample]) -> dict[str, torch.Tensor]:
        batch = self.padded(samples)
        tiles = batch["tiles"].split(batch["tile_counts"].tolist())
        return {
            "input_ids": batch["input_ids"],
            "labels": batch["labels"],
            "attention_mask": batch["attention_mask"],
            "pixel_values": torch.nn.utils.rnn.pad_sequence(list(tiles), batch_first=True),
            "image_sizes": batch["image_sizes"],
        }


def trainer_of(way: str, data: Path, backbones: Path, out: Path, recipe: Recipe) -> Trainer:
    """A trainer that begins at the backbones."""
    recipe = dataclasses.replace(recipe, packing=way == "packed")
    stage = Stage(
        recipe,
        data / "rows.jsonl",
        data / "images",
        out,
        language_model=backbones / "llama",
        vision_tower=backbones / "tower",
    )
    model, processor = build_model(backbones / "llama", backbones / "tower", recipe)
    arguments = training_arguments(recipe, out, quiet=True)
    index = stage_index(stage, processor)
    fit_to_rows(arguments, recipe, index.lengths)
    arguments.logging_steps, arguments.save_strategy = 1, "no"
    set_trainable(model, recipe.trained_parts)
    token = model.config.image_token_id, processor.tokenizer.pad_token_id
    options: dict[str, Any] = {
        "model": model,
        "args": arguments,
        "train_dataset": ConversationDataset(index, stage.image_folder, processor),
        "processing_class": processor,
    }
    if way == "plain":
        return Trainer(**options, data_collator=PlainCollator(Collator(*token)))
    patch_forward(model)
    if recipe.packing:
        use_packing(model)
    return NativeTrainer(recipe=recipe, **options, data_collator=Collator(*token, packing=recipe.packing))


def losses_and_norms(trainer: Trainer) -> list[float]:
    logs = [log for log in trainer.state.log_history if "loss" in log]
    return [float(log[name]) for log in logs for name in ("loss", "grad_norm")]


def measure_steps(
    data: Path, backbones: Path, folder: Path, turns: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Lowest CPU seconds of each way for all steps, and each way's losses and gradient norms."""
    ways = ("plain", "padded", "packed")
    found: dict[str, list[float]] = {way: [] for way in ways}
    values: dict[str, list[float]] = {}
    for turn in range(turns):
        for way in ways[:: 1 if turn % 2 == 0 else -1]:
            trainer = trainer_of(way, data, backbones, folder / f"{way}-{turn}", recipe_of())
            # The first step's memory is new to the process, and the clock starts behind the loading.
            started = time.process_time()
            trainer.train()
            found[way].append(time.process_time() - started)
            values[way] = losses_and_norms(trainer)
            print(f"{way}: {found[way][-1]:.1f} CPU seconds", flush=True)
    return {way: min(seconds) for way, seconds in found.items()}, values


def measure_upstream(data: Path, backbones: Path, folder: Path) -> float | None:
    """CPU seconds of the upstream trainer for `STEPS` steps; None without its tree."""
    from ndino.llava_next import engine
    from ndino.llava_next.process import run_trainer

    try:
        tree = engine.find_tree()
    except StageError as error:
        print(f"upstream: left out, {error}")
        return None
    spent = []
    for steps in (STEPS, 2 * STEPS):
        stage = Stage(
            dataclasses.replace(recipe_of(), max_steps=steps),
            data / "rows.jsonl",
            data / "images",
            folder / f"upstream-{steps}",
            language_model=backbones / "llama",
            vision_tower=backbones / "tower",
        )
        arguments = engine.prepare_stage(stage, cpu=True)
        assert arguments is not None  # it has not run
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run_trainer(tree.python, tree.folder, arguments, stage.out, lambda *_: None)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        print(f"upstream, {steps} steps with start and end: {spent[-1]:.1f} CPU seconds", flush=True)
    return spent[1] - spent[0]


def peak_of(way: str, data: Path, backbones: Path, out: Path) -> None:
    """Print the peak memory of a step above the loaded model. Runs in its own process."""
    torch.set_num_threads(1)
    trainer = trainer_of(way, data, backbones, out, recipe_of(effective_batch=BATCH, max_steps=1))
    # Without the optimiser's state, which is the same for all.
    assert trainer.model is not None
    trainer.optimizer = torch.optim.SGD(trainer.model.parameters(), lr=1e-15)
    # Writing 5 resets the kernel's high-water mark (VmHWM) to the current resident size.
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    trainer.train()
    gradients = sum(weight.numel() * 4 for weight in trainer.model.parameters() if weight.requires_grad)
    values = losses_and_norms(trainer)
    print(json.dumps({"peak_mib": memory("VmHWM") - before - gradients / 2**20, "values": values}))


def memory(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure_memory(data: Path, backbones: Path, folder: Path) -> tuple[dict[str, float], list[list[float]]]:
    made = {}
    for way in ("plain", "packed"):
        places = [str(path) for path in (data, backbones, folder / f"peak-{way}")]
        command = [sys.executable, "-m", "benchmarks.train_step", "--peak", way, *places]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        made[way] = json.loads(done.stdout.splitlines()[-1])
    return {way: each["peak_mib"] for way, each in made.items()}, [each["values"] for each in made.values()]


def useful_share(lengths: np.ndarray, *, packed: bool) -> float:
    """Tokens of samples, of all that 16 ranks could have trained meanwhile; for `pt`'s batches."""
    drawn = np.random.default_rng(1).choice(lengths, size=SIMULATED_ROWS)
    batch, step, ranks = 2, 128, SIMULATED_RANKS
    if packed:
        budget = batch * int(lengths.max())
        options = {"effective_batch": step, "accumulation": 1, "seed": 0, "ranks": ranks}
        options["accumulation"] = micro_batches(drawn, effective_batch=step, ranks=ranks, tokens=budget)
        loaders = [list(PackedBatches(drawn, **options, rank=rank)) for rank in range(ranks)]
        spent = [[int(drawn[samples].sum()) for samples in loader] for loader in loaders]
    else:
        # Each rank pads its batch, and waits for the one with the most.
        padded = drawn.reshape(-1, ranks, batch).max(axis=2) * batch
        spent = padded.T.tolist()
    waited = sum(max(together) for together in zip(*spent, strict=True)) * ranks
    return float(drawn[: SIMULATED_ROWS // step * step].sum()) / waited


def difference(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) / abs(a) for a, b in zip(one, other, strict=True))


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=2, help="times that each way is measured (default: 2)")
    parser.add_argument("--no-upstream", action="store_true", help="leave the upstream trainer out")
    parser.add_argument(
        "--peak", nargs=4, metavar=("WAY", "DATA", "BACKBONES", "OUT"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    if options.peak:
        peak_of(options.peak[0], *map(Path, options.peak[1:]))
        return 0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="ndino-train-step-") as temporary:
        folder = Path(temporary)
        for name in ("data", "small", "large", "runs"):
            (folder / name).mkdir()
        write_rows(folder / "data", 2 * STEPS * STEP)
        parts = write_backbones(folder / "small", vocabulary=4608, hidden=640, layers=8)
        print(f"parts beside the body: {parts}", flush=True)
        seconds, values = measure_steps(folder / "data", folder / "small", folder / "runs", options.turns)
        upstream = (
            None
            if options.no_upstream
            else measure_upstream(folder / "data", folder / "small", folder / "runs")
        )
        write_backbones(folder / "large", vocabulary=VOCABULARY, hidden=128, layers=2)
        peak, peak_values = measure_memory(folder / "data", folder / "large", folder / "runs")
        print(f"peak of a step above model and gradients, MiB: {peak}", flush=True)
        trainer = trainer_of("padded", folder / "data", folder / "small", folder / "runs" / "l", recipe_of())
        lengths = np.asarray(trainer.train_dataset.lengths)  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    shares = {way: round(useful_share(lengths, packed=way == "packed"), 3) for way in ("padded", "packed")}
    off = max(
        *(difference(values["plain"], values[way]) for way in ("padded", "packed")),
        difference(*peak_values),
    )
    ratio = {way: round(seconds[way] / seconds["packed"], 2) for way in ("plain", "padded")}
    if upstream is not None:
        seconds["upstream"] = upstream
        ratio["upstream"] = round(upstream / seconds["packed"], 2)
    ratio |= {"memory": round(peak["packed"] / peak["plain"], 3), "useful_share": shares["packed"]}
    print_result(
        "train_step",
        ratio=ratio,
        goal={name: GOALS[name] for name in ratio},
        equal=off <= RELATIVE,
        conditions={
            "measure": "CPU seconds, the other way over packed; memory: peak, packed over plain",
            "largest_relative_difference": float(f"{off:.1e}"),
            "cpu_seconds": {way: round(value, 2) for way, value in seconds.items()},
            "peak_mib": {way: round(value, 1) for way, value in peak.items()},
            "useful_share": shares,
            "tokens": {
                "mean": round(float(lengths.mean())),
                "quartiles": np.percentile(lengths, (0, 25, 50, 75, 100)).astype(int).tolist(),
            },
            "samples": STEPS * STEP,
            "parts_beside_the_body": parts,
            "vocabulary_of_memory": VOCABULARY,
            "dtype": "float32",
            "turns": options.turns,
            "threads": 1,
        },
    )
    return 0 if off <= RELATIVE else 1


if __name__ == "__main__":
    sys.exit(main())
