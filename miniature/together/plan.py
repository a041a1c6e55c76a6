"""The steps of a demo in several languages. All models have one tokenizer, one start and as many steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from miniature.architectures import BACKBONES, TOWERS
from miniature.jobs import Job
from miniature.steps import (
    backbones_in,
    evaluate,
    make_language_model,
    make_tower,
    perplexity,
    train,
    trained_in,
)
from miniature.together.data import make_data, mixed
from miniature.together.variants import FIRST, STAGES, run_of, variants
from ndino.data.framework.layout import DATA, IMAGES


def plan_together(
    out: Path,
    codes: Sequence[str],
    *,
    world: str,
    seed: int,
    fast: bool,
    engine: str = "native",
    backbone: str = BACKBONES[0],
    tower: str = TOWERS[0],
) -> list[Job]:
    """List every step with the steps it needs, parents before children."""
    data, backbones, models = out / "data", out / "backbones", variants(codes)
    english = data / codes[0] / f"{FIRST}.jsonl"
    training = (seed, fast, engine, backbone != BACKBONES[0])
    jobs = [
        Job("world", make_data, (data, world, codes, seed, fast)),
        Job("vision tower", make_tower, (backbones / "vision-tower", seed, fast, tower)),
        Job(
            "language model",
            make_language_model,
            (backbones / "language-model", [data / code for code in codes], seed, fast, backbone),
            ("world",),
        ),
        Job(
            FIRST,
            train,
            (
                FIRST,
                english,
                data / codes[0] / IMAGES,
                out / FIRST,
                backbones_in(backbones),
                *training,
            ),
            ("vision tower", "language model"),
        ),
    ]
    for model in models:
        start, ready = trained_in(out / FIRST, engine), FIRST
        for stage in STAGES:
            name = run_of(model, stage, models)
            rows = mixed(data, name)
            arguments = (stage, rows / DATA, rows / IMAGES, out / name, start, *training)
            jobs.append(Job(name, train, arguments, (ready,)))
            start, ready = trained_in(out / name, engine), name
    jobs = list({job.name: job for job in jobs}.values())
    trained = tuple(job.name for job in jobs)
    folders = model_folders(codes, out)
    jobs += [
        Job(
            f"perplexity {name}, {code}",
            perplexity,
            (name, folder, data / code / "benchmarks", out, code),
            trained,
        )
        for name, folder in folders.items()
        for code in codes
    ]
    for part, half in enumerate(([*folders][::2], [*folders][1::2]), start=1):
        # A model's languages share its results, so one waits for the other.
        needs = trained
        for code in codes:
            name = f"tasks {code}, part {part} of 2"
            benchmarks = data / code / "benchmarks"
            jobs.append(
                Job(
                    name,
                    evaluate,
                    ({model: folders[model] for model in half}, benchmarks, out, code, f"-{code}"),
                    needs,
                )
            )
            needs = (name,)
    return jobs


def model_folders(codes: Sequence[str], out: Path) -> dict[str, Path]:
    """The model folder of every model, by name."""
    models = variants(codes)
    last = [*STAGES][-1]
    return {model.name: out / run_of(model, last, models) / "model" for model in models}
