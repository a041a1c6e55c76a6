"""``ndino train``: one stage, with the native engine or with the pinned upstream trainer."""

from __future__ import annotations

import argparse
import contextlib
import json
from dataclasses import asdict
from functools import partial
from importlib import import_module

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser, positive
from ndino.common.startup import is_rank
from ndino.train.health.ending import note_failure, note_failure_of_job
from ndino.train.launching.last_words import telling_the_launcher
from ndino.train.resuming.run_folder import belongs_to, claimed
from ndino.train.stage import Stage, StageError, add_stage_arguments, is_first_rank, require_inputs, stage_of

HELP = """
Train one stage, with the native engine or with the pinned upstream trainer.

OUT/model is the trained model in Hugging Face format, OUT/manifest.json says how it was made, and
OUT/rejects.txt lists the rows that could not be used. Run the same command again to resume from the newest
complete checkpoint.

Ctrl-C, SIGUSR1 and SIGTERM let training finish its step and save a checkpoint; the exit code is then 130. A
second Ctrl-C ends it at once.

Watch it from a second terminal with: ndino report OUT --live. Held-out loss and TensorBoard are fields of the
recipe, eval_rows and report_to: docs/training.md, Watching a run.

Training that diverges stops with exit code 1 and keeps its last good checkpoint: docs/training.md.
"""
EXAMPLES = (
    "ndino train launch/recipes/mlp.yaml --out runs/italian/mlp --language-model models/llama-3-8b "
    "--vision-tower models/clip-vit-large-patch14-336",
    "ndino train launch/recipes/pt.yaml --out runs/italian/mlp-pt --model runs/italian/mlp/model",
    "ndino train launch/recipes/it-24gb.yaml --out runs/it --model runs/italian/mlp-pt/model --gpus 2",
    "ndino train launch/recipes/pt.yaml --out runs/italian/mlp-pt --model runs/italian/mlp/upstream "
    "--engine llava-next",
    # On what `make demo` leaves.
    "ndino train launch/recipes/mlp.yaml --overrides miniature/recipes.yaml --out runs/mlp "
    "--data runs/demo/data/mlp.jsonl --images runs/demo/data/images "
    "--language-model runs/demo/backbones/language-model --vision-tower runs/demo/backbones/vision-tower",
)

# By name: the upstream engine is built on the native one's checks and must not be imported by them.
ENGINES = {"native": "ndino.train.engine", "llava-next": "ndino.llava_next.engine"}


def add_arguments(parser: CommandParser) -> None:
    add_stage_arguments(parser)
    parser.add_argument(
        "--gpus",
        type=positive,
        metavar="N",
        help="train on N GPUs of this machine, each with the whole model (default: one)",
    )


def run(args: argparse.Namespace) -> int:
    with telling_the_launcher():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    stage = stage_of(args)
    _check_paths(args, stage)
    with claimed(stage.out):
        if not is_rank():
            _require_same_recipe(args, stage)
        return _run_ranks(args, stage) if args.gpus is not None else _run_here(args, stage)


def _run_here(args: argparse.Namespace, stage: Stage) -> int:
    if args.engine == "native":
        from ndino.train.watching.noise import quiet_libraries

        quiet_libraries()
    from ndino.train.callbacks import StopOnSignal
    from ndino.train.health.ranks import ending_together

    run_stage = import_module(ENGINES[args.engine]).run_stage
    stop = StopOnSignal()
    # The upstream trainer is a process of its own, with its own handling of signals.
    listening = stop.listening() if args.engine == "native" else contextlib.nullcontext()
    with listening, ending_together(stage.out):
        model = run_stage(stage, stop=stop)
    if is_first_rank():
        print(model)
    return 0


def _run_ranks(args: argparse.Namespace, stage: Stage) -> int:
    from ndino.train.launching.ranks import require_gpus, run_ranks, stage_command

    if args.engine != "native":
        raise UsageError("--gpus is for the native engine (remedy: launch/train_from_llm.sh on a cluster)")
    if is_rank():
        raise UsageError("a launcher has started this process as one of its ranks (remedy: leave --gpus out)")
    stage.recipe.accumulation(args.gpus)
    require_gpus(args.gpus)
    command = ["-m", "ndino", "train", *stage_command(args)]
    return run_ranks(command, args.gpus, on_killed=partial(note_failure, stage.out, repeats=False))


def _require_same_recipe(args: argparse.Namespace, stage: Stage) -> None:
    """Refuse a recipe other than the run's before PyTorch is loaded; engines compare data and start too."""
    recipe = json.loads(json.dumps(asdict(stage.recipe)))
    try:
        belongs_to(stage.out, {"engine": args.engine, "recipe": recipe})
    except StageError as error:
        note_failure_of_job(stage.out, str(error))
        raise


def _check_paths(args: argparse.Namespace, stage: Stage) -> None:
    if args.engine == "native" and args.model is not None and args.vision_tower is not None:
        raise UsageError(
            "a model of the native engine holds its vision tower (remedy: leave --vision-tower out, or train "
            "with --engine llava-next)"
        )
    require_inputs(stage)
