"""The steps of the demo; each is a job, and does nothing where its files are there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from miniature.jobs import Report
from ndino.common.files import atomic_folder, write_json
from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.llava_bench import LlavaBench
from ndino.evaluation.tasks.mtvqa import Mtvqa
from ndino.formats.recipes import load_recipe

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "launch" / "recipes"
OVERRIDES = Path(__file__).with_name("recipes.yaml")
FAST_STEPS = 10
TASKS = "ndino-{lang}"
# The benchmarks whose answers' perplexity is measured, and the field that holds the answer.
PERPLEXITY_SETS: dict[str, tuple[type[BenchmarkTask], str]] = {
    "llava-bench": (LlavaBench, "gpt_answer"),
    "mtvqa": (Mtvqa, "answer"),
}


class DemoError(RuntimeError):
    """The demo cannot start or finish; the message says why."""


def make_world(report: Report, data: Path, world: str, lang: str, seed: int, fast: bool) -> None:
    if (data / "world.json").exists():
        return
    prepare(data, world, lang, seed, fast)
    write_json(data / "world.json", {"world": world, "lang": lang, "seed": seed, "fast": fast})


def prepare(data: Path, world: str, lang: str, seed: int, fast: bool) -> None:
    """Write the training files and benchmarks of a world."""
    if world == "stamps":
        from miniature.worlds import stamps as made
    else:
        from miniature.worlds import drawn as made
    made.prepare(data, lang=lang, seed=seed, fast=fast)


def make_tower(report: Report, folder: Path, seed: int, fast: bool, kind: str) -> None:
    from miniature.backbones import TOWER_STEPS, pretrain_tower

    if folder.exists():
        return
    with atomic_folder(folder) as made:
        steps = FAST_STEPS if fast else TOWER_STEPS
        pretrain_tower(made, seed=seed, steps=steps, on_step=report, kind=kind)


def make_language_model(
    report: Report, folder: Path, data: Sequence[Path], seed: int, fast: bool, kind: str
) -> None:
    from miniature.backbones import LANGUAGE_STEPS, make_tokenizer, pretrain_language_model, texts_of

    if folder.exists():
        return
    steps = FAST_STEPS if fast else LANGUAGE_STEPS
    with atomic_folder(folder) as made:
        tokenizer = make_tokenizer(chain.from_iterable(map(texts_of, data)), made, kind)
        pretrain_language_model(tokenizer, made, seed=seed, steps=steps, on_step=report, kind=kind)


def backbones_in(folder: Path) -> dict[str, Path]:
    """What the first stage starts from."""
    return {"language_model": folder / "language-model", "vision_tower": folder / "vision-tower"}


def trained_in(run: Path, engine: str) -> dict[str, Path]:
    """What the stage after ``run`` starts from."""
    return {"model": run / ("model" if engine == "native" else "upstream")}


def train(
    report: Report,
    stage: str,
    data: Path,
    images: Path,
    out: Path,
    start: Mapping[str, Path],
    seed: int,
    fast: bool,
    engine: str,
    chat: bool,
) -> None:
    """Train a stage of the family on the rows of ``data``.

    ``start`` is what it starts from: `backbones_in` or `trained_in` a folder. With ``chat`` questions are
    asked in the tokenizer's own chat template, where the recipe says LLaMA 3's.
    """
    from transformers.utils import logging

    from ndino.train.resuming.run_folder import claimed
    from ndino.train.stage import Stage

    if engine == "native":
        from ndino.train.engine import run_stage
    else:
        from ndino.llava_next.engine import run_stage

    logging.disable_progress_bar()
    # Upstream's trainer cannot pack.
    packing = engine == "native"
    recipe = replace(load_recipe(RECIPES / f"{stage}.yaml", OVERRIDES), seed=seed, packing=packing)
    if chat and recipe.prompt == "llama3":
        recipe = replace(recipe, prompt="chat")
    if fast:
        recipe = replace(recipe, max_steps=FAST_STEPS, save_steps=FAST_STEPS // 2)
    planned = Stage(recipe, data=data, image_folder=images, out=out, **start)
    with claimed(out):
        run_stage(planned, on_step=report)


def perplexity(report: Report, name: str, folder: Path, benchmarks: Path, out: Path, lang: str) -> None:
    from ndino.evaluation.models import find_model
    from ndino.evaluation.perplexity.answer_sets import read_items
    from ndino.evaluation.perplexity.score_set import score_set

    model = find_model(name, str(folder))

    for number, (set_name, (benchmark, field)) in enumerate(PERPLEXITY_SETS.items(), start=1):
        read = benchmarks / benchmark(lang).source
        items = read_items(str(read), split="test", answer_field=field)
        target = out / "ppl" / name / f"{set_name}-{lang}.jsonl"
        # The demo makes its data, so that other data are those of a newer version.
        score_set(model, items, target, batch=16, replace_data=True)
        control = target.with_suffix(".shuffled.jsonl")
        score_set(model, items, control, batch=16, shuffled=True, replace_data=True)
        report(number, len(PERPLEXITY_SETS))


def caption(report: Report, name: str, folder: Path, benchmarks: Path, out: Path) -> None:
    from miniature.captions import score_captions

    score_captions(name, folder, benchmarks / "captions", out / "eval", report)


def evaluate(
    report: Report, models: dict[str, Path], benchmarks: Path, out: Path, lang: str, suffix: str = ""
) -> None:
    """Ask the language's tasks; ``suffix`` stands behind the names of the kinds of questions."""
    from miniature.kinds import split_by_kind
    from ndino.cli import main as ndino

    arguments = [
        "evaluate",
        "--tasks",
        TASKS.format(lang=lang),
        "--data",
        str(benchmarks),
        "--shuffle",
        "--batch",
        "64",
        "--out",
        str(out / "eval"),
    ]
    for name, folder in models.items():
        arguments += ["--model", f"{name}={folder}"]
    if ndino(arguments):
        raise DemoError("the evaluation failed")
    kinds = json.loads((benchmarks / "kinds.json").read_text(encoding="utf-8"))
    for name, folder in models.items():
        split_by_kind(name, folder, out / "eval", kinds, suffix)
