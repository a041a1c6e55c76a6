"""``ndino cluster``: what the scripts of launch/ ask; docs/cluster.md describes them."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ndino.cluster import attempts, checks, family, staging
from ndino.common.options import CommandParser, comma_separated, language_codes, need_file
from ndino.formats.family import load_family
from ndino.train.resuming.run_folder import claimed
from ndino.train.stage import add_stage_arguments, require_inputs, stage_of

HELP = """
Check, plan and follow SLURM jobs. The scripts of launch/ call these commands; docs/cluster.md describes them.

Exit codes: 0 all is well, 1 something is missing or wrong, 2 wrong usage. outcome ends with 75 for a stage
that was stopped and has to be started again, and with 1 for one that failed.
"""
_STAGE = "launch/recipes/pt.yaml --out runs/italian/mlp-pt --model runs/italian/mlp/model"
_ALLOCATION = "--nodes 2 --gpus 4"
_PATHS = (
    "launch/recipes/family.yaml --runs runs/italian --engine native --language-model models/Meta-Llama-3-8B "
    "--vision-tower models/clip-vit-large-patch14-336"
)
EXAMPLES = (f"ndino cluster check {_STAGE} {_ALLOCATION}",)
ARGUMENTS = "arguments"  # of the upstream trainer, with a null byte after each


def add_arguments(parser: CommandParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], summary: str, example: str) -> CommandParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            examples=[f"ndino cluster {name} {example}"],
        )
        command.set_defaults(run=run)
        return command

    check = add("check", run_check, "check a stage before its job waits or trains", f"{_STAGE} {_ALLOCATION}")
    add_stage_arguments(check)
    _add_allocation(check)
    check.add_argument("--begin", action="store_true", help="if all is well, record that an attempt begins")

    gpus = add("gpus", run_gpus, "check that PyTorch sees the GPUs of this node", _ALLOCATION)
    _add_allocation(gpus)

    prepare = add(
        "prepare",
        run_prepare,
        "write what the upstream trainer reads",
        "launch/recipes/pt.yaml --engine llava-next --out runs/italian/mlp-pt "
        f"--model runs/italian/mlp/upstream {_ALLOCATION}",
    )
    add_stage_arguments(prepare)
    _add_allocation(prepare)

    outcome = add(
        "outcome", run_outcome, "say how an attempt ended, and publish the model of a finished one", _STAGE
    )
    add_stage_arguments(outcome)
    outcome.add_argument(
        "--status", type=int, default=0, metavar="N", help="exit status of the ranks (default: %(default)s)"
    )

    plan = add(
        "family",
        run_family,
        "print the family's jobs as a graph, or those to submit",
        f"{_PATHS} {_ALLOCATION} --tasks ndino-it --perplexity-sets wild-it=swap-uniba/WILD_IT "
        "--benchmarks benchmarks-data",
    )
    _add_paths(plan)
    _add_allocation(plan)
    plan.add_argument(
        "--tasks",
        type=comma_separated,
        required=True,
        metavar="TASKS",
        help="tasks or groups, comma-separated",
    )
    plan.add_argument("--perplexity-sets", required=True, metavar="SETS", help="NAME=DATA, space-separated")
    plan.add_argument(
        "--benchmarks",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of the data of tasks and sets",
    )
    plan.add_argument(
        "--queue", default="", metavar="NUMBERS", help="numbers of the jobs in the queue, space-separated"
    )
    plan.add_argument(
        "--submit", action="store_true", help="check, then print the jobs to submit as shell words"
    )

    questions = add(
        "questions",
        run_questions,
        "print on which tasks and sets of answers models are scored in a language, a line each",
        "launch/recipes/family.yaml --lang it,es",
    )
    _add_family(questions)
    _add_languages(questions)

    status = add(
        "status",
        run_status,
        "print the family's jobs as a table, given squeue's lines on standard input",
        _PATHS,
    )
    _add_paths(status)

    stage_weights = add(
        "stage-weights",
        run_staging,
        "download models and datasets for nodes without a network",
        "launch/recipes/family.yaml --models models --benchmarks benchmarks-data",
    )
    _add_family(stage_weights)
    _add_languages(stage_weights)
    stage_weights.add_argument(
        "--benchmarks",
        type=Path,
        default=Path("benchmarks-data"),
        metavar="FOLDER",
        help="folder for the datasets (default: %(default)s)",
    )


def _add_allocation(command: CommandParser) -> None:
    add = command.add_argument
    add("--nodes", type=int, required=True, metavar="N", help="nodes of the job")
    add("--gpus", type=int, required=True, metavar="N", help="GPUs of each node, with one rank each")
    add(
        "--device", choices=("cuda", "cpu"), default="cuda", help="what a rank runs on (default: %(default)s)"
    )
    add(
        "--distributed",
        default="ddp",
        metavar="NAME",
        help="a file of launch/accelerate (default: %(default)s)",
    )
    add("--container", default="", metavar="FILE", help="Apptainer image of the engine (default: no image)")
    command.keep_former_name("--image", "--container")


def _add_family(command: CommandParser) -> None:
    command.add_argument("family", type=Path, metavar="FAMILY", help="family.yaml; its recipes are beside it")
    command.add_argument(
        "--models",
        type=Path,
        default=Path("models"),
        metavar="FOLDER",
        help="folder of the downloaded models (default: %(default)s)",
    )


def _add_languages(command: CommandParser) -> None:
    command.add_argument(
        "--lang",
        type=language_codes,
        metavar="CODES",
        help="languages in which models are scored, such as es or it,es (default: those of FAMILY, else it)",
    )


def _add_paths(command: CommandParser) -> None:
    _add_family(command)
    add = command.add_argument
    add("--runs", type=Path, required=True, metavar="FOLDER", help="folder of the family's runs")
    add("--engine", choices=("native", "llava-next"), required=True, help="the trainer")
    add(
        "--language-model",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="the language model to start from",
    )
    add("--vision-tower", type=Path, required=True, metavar="FOLDER", help="the vision tower to start from")
    add("--overrides", type=Path, metavar="FILE", help="YAML {recipe: {field: value}} that changes recipes")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand, which has set ``args.run``."""
    if "family" in args:
        need_file(args.family, "name a family.yaml, such as launch/recipes/family.yaml")
    return args.run(args)


def run_check(args: argparse.Namespace) -> int:
    stage, allocation = stage_of(args), _allocation(args)
    with claimed(stage.out) if args.begin else contextlib.nullcontext():
        found = checks.check(stage, allocation, engine=args.engine, every_image=not args.begin)
        for fact in found.facts:
            print(f"  {fact}")
        for problem in found.problems:
            print(f"{args.program}: {problem}", file=sys.stderr)
        if not found.problems and args.begin:
            attempts.begin(stage.out, os.environ, nodes=allocation.nodes, ranks=allocation.ranks)
    return 1 if found.problems else 0


def run_gpus(args: argparse.Namespace) -> int:
    if args.device == "cpu":
        return 0
    import torch

    problem = checks.gpus_seen(_allocation(args), torch.cuda.device_count)
    if problem:
        print(f"{args.program}: {problem}", file=sys.stderr)
    return 1 if problem else 0


def run_prepare(args: argparse.Namespace) -> int:
    from ndino.llava_next.engine import prepare_stage

    stage, allocation = stage_of(args), _allocation(args)
    require_inputs(stage)
    with claimed(stage.out):
        arguments = prepare_stage(
            stage,
            cpu=args.device == "cpu",
            ranks=allocation.ranks,
            ranks_here=allocation.gpus,
            launcher=allocation.distributed,
        )
        path = stage.out / ARGUMENTS
        path.unlink(missing_ok=True)
        if arguments is not None:
            path.write_text("".join(f"{argument}\0" for argument in arguments), encoding="utf-8")
    return 0


def run_outcome(args: argparse.Namespace) -> int:
    stage = stage_of(args)
    with claimed(stage.out):
        if args.engine == "llava-next":
            from ndino.llava_next.engine import RESULT, publish_stage

            if (stage.out / RESULT).exists():
                publish_stage(stage)
        attempts.end(stage.out)
        outcome, line = attempts.outcome(stage.out, args.status)
    print(
        f"{args.program}: {line}",
        file=sys.stderr if outcome is attempts.AttemptOutcome.FAILED else sys.stdout,
    )
    return outcome


def run_family(args: argparse.Namespace) -> int:
    jobs = family.plan(load_family(args.family), _family_paths(args))
    numbers, queued = family.submitted(args.runs), set(args.queue.split())
    if not args.submit:
        print("\n".join(family.graph(jobs, {name: it for name, it in numbers.items() if it in queued})))
        return 0
    from ndino.cluster import preflight

    chosen = list(family.to_submit(jobs, numbers, queued))
    questions = preflight.EvaluationData(
        tuple(args.tasks), tuple(args.perplexity_sets.split()), args.benchmarks
    )
    names = [job.name for job, _ in chosen]
    problems = list(preflight.problems(jobs, names, _family_paths(args), _allocation(args), questions))
    for problem in problems:
        print(f"{args.program}: {problem}", file=sys.stderr)
    if problems:
        return 1
    for job, waits in chosen:
        print(family.as_words(job, waits))
    return 0


def run_questions(args: argparse.Namespace) -> int:
    from ndino.cluster import questions

    codes = questions.languages_of(load_family(args.family), args.lang)
    print(",".join(questions.task_groups(codes)))
    print(" ".join(questions.perplexity_sets(codes)))
    return 0


def run_status(args: argparse.Namespace) -> int:
    from rich.console import Console

    from ndino.cluster import status

    jobs = family.plan(load_family(args.family), _family_paths(args))
    queue = status.read_queue(sys.stdin.read())
    status.show(status.rows(jobs, family.submitted(args.runs), queue, args.runs), Console())
    return 0


def run_staging(args: argparse.Namespace) -> int:
    from ndino.cluster import questions

    chosen = load_family(args.family)
    codes = questions.languages_of(chosen, args.lang)
    for line in questions.how_to_make(codes):
        print(line)
    items = staging.wanted(args.models, args.benchmarks, baselines=chosen.baselines.values(), codes=codes)
    for item in items:
        print(f"{item.source} -> {item.folder}")
        staging.fetch(item)
    return 0


def _allocation(args: argparse.Namespace) -> checks.Allocation:
    return checks.Allocation(args.nodes, args.gpus, args.device, args.distributed, args.container)


def _family_paths(args: argparse.Namespace) -> family.FamilyPaths:
    return family.FamilyPaths(
        recipes=args.family.parent,
        runs=args.runs,
        engine=args.engine,
        language_model=args.language_model,
        vision_tower=args.vision_tower,
        models=args.models,
        overrides=args.overrides,
        asked={"tasks": args.tasks, "perplexity": args.perplexity_sets.split()} if "tasks" in args else {},
    )
