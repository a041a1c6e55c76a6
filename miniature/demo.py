"""Run the whole pipeline at a size that two CPU cores can handle (``make demo``).

    python -m miniature.demo                    the drawn world, all stages, 13 minutes of CPU time
    python -m miniature.demo --fast             the same steps with very little training: tests the pipeline
    python -m miniature.demo --world stamps     real images: Tux Paint's stamps with their captions
    python -m miniature.demo --lang es          the whole demo in Spanish
    python -m miniature.demo --backbone qwen3 --tower siglip2    other kinds of backbones
    python -m miniature.demo --lang it,es       what two languages cost each other, and what text alone does
    python -m miniature.demo --engine llava-next    train with the pinned upstream trainer, and convert

The demo makes the world and the backbones, and trains the model family as eight shared runs with the recipes
of launch/recipes (sizes and steps from miniature/recipes.yaml). It evaluates every model on the language's
unchanged tasks, with the right and with shuffled images, and writes the report. Rerun it to resume.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from rich.console import Console

from miniature.architectures import BACKBONES, TOWERS
from miniature.jobs import Job, JobError, JobOutcome, run_jobs
from miniature.steps import (
    RECIPES,
    DemoError,
    backbones_in,
    caption,
    evaluate,
    make_language_model,
    make_tower,
    make_world,
    perplexity,
    train,
    trained_in,
)
from miniature.together.cost import write_tables
from miniature.together.plan import plan_together
from miniature.worlds.stamp_files import StampsError, find_stamps
from ndino.common.errors import UsageError, shown
from ndino.common.files import write_json
from ndino.common.locks import BusyError, exclusive_lock
from ndino.common.options import CommandParser, language_codes, need_no_file
from ndino.common.startup import prepare_process
from ndino.evaluation.tasks.framework.instructions import require_tasks
from ndino.formats.family import Family, load_family, run_name
from ndino.formats.recipes import RecipeError
from ndino.languages.lexicon import lexicon, stamp_words

WORKERS = 2
LANGUAGE = "it"
BACKBONE, TOWER = BACKBONES[0], TOWERS[0]
# What can be chosen, by option; `make demo` has each as a variable in capitals.
CHOICES = {
    "world": ("drawn", "stamps"),
    "engine": ("native", "llava-next"),
    "backbone": BACKBONES,
    "tower": TOWERS,
}


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        _check_choices(options)
        check_engine(options)
        out = need_no_file((options.out or Path("runs") / folder_name(options)).resolve())
        _check_words(options)
    except UsageError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    # The workers' libraries read these variables when they are imported.
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    os.environ["HF_DATASETS_CACHE"] = str(out / "eval" / ".cache")
    # Workers stopped by Ctrl-C cannot release their semaphores. The resource tracker does, with a warning
    # that would only confuse.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    log = out / "demo.log"
    try:
        busy = f"another demo is writing to {out} (remedy: wait for it, or choose another --out)"
        with exclusive_lock(out / ".lock", busy):
            check_settings(out, options)
            if options.world == "stamps" and not (out / "data" / "world.json").exists():
                # Not in a worker, whose output goes to the log: the user should see that a download starts.
                find_stamps(console.print)
            settings = {
                name: getattr(options, name)
                for name in ("world", "seed", "fast", "engine", "backbone", "tower")
            }
            if len(options.lang) > 1:
                jobs = plan_together(out, options.lang, **settings)
            else:
                family = load_family(RECIPES / "family.yaml")
                jobs = plan(out, family, lang=options.lang[0], **settings)
            console.print(f"{len(jobs)} steps into {out}; their output is in {log}")
            outcome = run_jobs(jobs, workers=WORKERS, console=console, log=log)
            _finish(out, outcome, console, options)
    except BusyError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except (JobError, RecipeError, StampsError, DemoError) as error:
        print(
            f"demo: {error}\ndemo: see {log}; rerun the same command to resume",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\ndemo: stopped; rerun the same command to resume", file=sys.stderr)
        return 130
    return 0


def folder_name(options: argparse.Namespace) -> str:
    """The folder in runs/ of a demo with these options, which names all that is not usual."""
    return "-".join(
        [
            "demo",
            *([] if options.engine == "native" else [options.engine]),
            *([] if options.world == "drawn" else [options.world]),
            *([] if options.lang == [LANGUAGE] else options.lang),
            *([] if options.backbone == BACKBONE else [options.backbone]),
            *([] if options.tower == TOWER else [options.tower]),
            *(["fast"] if options.fast else []),
        ]
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = CommandParser(
        prog="python -m miniature.demo",
        description=__doc__ or "",
        examples=["python -m miniature.demo --fast"],
    )
    # No `choices`: argparse would not name the variables of `make demo` in its errors (`_check_choices`).
    made.add_argument("--world", metavar=_among("world"), default="drawn", help="default: drawn")
    made.add_argument(
        "--lang",
        type=language_codes,
        default=[LANGUAGE],
        metavar="CODES",
        help="language of texts and tasks; it,es trains on each and on both (default: it)",
    )
    made.add_argument("--fast", action="store_true", help="hardly train; the scores mean nothing")
    made.add_argument("--seed", type=int, default=42, help="of world, backbones and training (default: 42)")
    made.add_argument("--engine", metavar=_among("engine"), default="native", help="default: native")
    made.add_argument(
        "--backbone", metavar=_among("backbone"), default=BACKBONE, help="language model; default: llama"
    )
    made.add_argument("--tower", metavar=_among("tower"), default=TOWER, help="default: clip")
    made.add_argument(
        "--out",
        type=Path,
        help="default: runs/demo, with all that is not usual: engine, world, language, backbones, -fast",
    )
    return made


def _among(name: str) -> str:
    return "{" + ",".join(CHOICES[name]) + "}"


def _check_choices(options: argparse.Namespace) -> None:
    for name, among in CHOICES.items():
        if (given := getattr(options, name)) not in among:
            variable = name.upper()
            raise UsageError(
                f"{variable}={shown(given)} is not among {', '.join(among)} "
                f"(remedy: choose one of these, or leave {variable} out)"
            )


def check_engine(options: argparse.Namespace) -> None:
    """Check that the engine takes these backbones and is installed.

    Raises:
        DemoError: it does not, or is not.
    """
    if options.engine != "llava-next":
        return
    if (options.backbone, options.tower) != (BACKBONE, TOWER):
        raise DemoError(
            "ENGINE=llava-next trains LLaMA with CLIP alone (remedy: leave out BACKBONE and TOWER, or ENGINE)"
        )
    _check_upstream()


def plan(
    out: Path,
    family: Family,
    *,
    world: str,
    seed: int,
    fast: bool,
    lang: str = LANGUAGE,
    engine: str = "native",
    backbone: str = BACKBONE,
    tower: str = TOWER,
) -> list[Job]:
    """List every step with the steps it needs, parents before children."""
    data, backbones, benchmarks = out / "data", out / "backbones", out / "data" / "benchmarks"
    jobs = [
        Job("world", make_world, (data, world, lang, seed, fast)),
        Job("vision tower", make_tower, (backbones / "vision-tower", seed, fast, tower)),
        Job(
            "language model",
            make_language_model,
            (backbones / "language-model", (data,), seed, fast, backbone),
            ("world",),
        ),
    ]
    ready = ("world", "vision tower", "language model")
    for chain in sorted(family.stages(), key=lambda chain: (len(chain), chain[-1] == "long")):
        parent, run, stage = run_name(chain[:-1]), run_name(chain), chain[-1]
        start = trained_in(out / parent, engine) if parent else backbones_in(backbones)
        rows = (data / f"{stage}.jsonl", data / "images")
        arguments = (stage, *rows, out / run, start, seed, fast, engine, backbone != BACKBONE)
        jobs.append(Job(run, train, arguments, (parent,) if parent else ready))
    trained = tuple(run_name(chain) for chain in family.stages())
    models = model_folders(family, out)
    for name, folder in models.items():
        jobs.append(Job(f"perplexity {name}", perplexity, (name, folder, benchmarks, out, lang), trained))
        jobs.append(Job(f"captions {name}", caption, (name, folder, benchmarks, out), trained))
    names = list(models)
    # Captions and tasks share a model's results.json, so one waits for the other.
    captioned = tuple(f"captions {name}" for name in names)
    for part, half in enumerate((names[::2], names[1::2]), start=1):
        jobs.append(
            Job(
                f"tasks, part {part} of 2",
                evaluate,
                ({name: models[name] for name in half}, benchmarks, out, lang),
                captioned,
            )
        )
    return jobs


def model_folders(family: Family, out: Path) -> dict[str, Path]:
    """The model folder of every model of the family, by name."""
    return {name: out / run_name(chain) / "model" for name, chain in family.models.items()}


def check_settings(out: Path, options: argparse.Namespace) -> None:
    """Check that ``out`` holds no demo with other options.

    Raises:
        DemoError: it does.
    """
    wanted = {
        "world": options.world,
        "lang": ",".join(options.lang),
        "seed": options.seed,
        "fast": options.fast,
    }
    path = out / "data" / "world.json"
    # Earlier versions made Italian worlds and did not say so.
    held = {"lang": "it"} | json.loads(path.read_text(encoding="utf-8")) if path.exists() else dict(wanted)
    wanted |= {"backbone": options.backbone, "tower": options.tower}
    held |= {"backbone": options.backbone, "tower": options.tower} | _made_backbones(out)
    if held != wanted:
        raise DemoError(
            f"{out} holds a demo with {held}, not {wanted} (remedy: remove it or choose another --out)"
        )


def _made_backbones(out: Path) -> dict[str, str]:
    """The kinds of the backbones that a demo has made in ``out``."""
    made = {}
    for role, folder, kinds in (
        ("backbone", "language-model", BACKBONES),
        ("tower", "vision-tower", TOWERS),
    ):
        path = out / "backbones" / folder / "config.json"
        if path.exists():
            held = json.loads(path.read_text(encoding="utf-8"))["model_type"]
            made[role] = next(kind for kind in kinds if held.startswith(kind.rstrip("2")))
    return made


def _check_words(options: argparse.Namespace) -> None:
    """Load the words that world and tasks need, so that what is missing is named before anything runs."""
    for code in options.lang:
        lexicon(code)
        require_tasks(code)
        if options.world == "stamps":
            stamp_words(code)


def _check_upstream() -> None:
    from ndino.llava_next.engine import find_tree
    from ndino.train.stage import StageError

    try:
        find_tree()
    except StageError as error:
        raise DemoError(str(error)) from error


def _finish(out: Path, outcome: JobOutcome, console: Console, options: argparse.Namespace) -> None:
    from ndino.cli import main as ndino
    from ndino.train.manifest import peak_rss_mb

    path = out / "timings.json"
    before = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"seconds": {}, "peak_rss_mb": 0}
    )
    # A step that an earlier start finished is skipped now, so its earlier, longer time is the right one.
    seconds = outcome.seconds | {
        step: s for step, s in before["seconds"].items() if s > outcome.seconds.get(step, 0)
    }
    peak = round(sum(outcome.peak_rss_mb.values()) + peak_rss_mb(), 1)
    write_json(path, {"seconds": seconds, "peak_rss_mb": max(peak, before["peak_rss_mb"])})
    arguments = ["report", str(out)]
    if options.fast:
        console.print("[bold]FAST: the models are barely trained; their scores mean nothing.[/bold]")
        arguments += ["--title", "Pipeline test: scores mean nothing"]
    if ndino(arguments):
        raise DemoError("the report could not be written")
    if len(options.lang) > 1:
        path = write_tables(out, options.lang)
        console.print(path.read_text(encoding="utf-8"), path, sep="\n", markup=False, soft_wrap=True)


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
