"""What the scripts of launch/ ask; they are described in docs/cluster.md.

    python -m ndino.cluster check launch/recipes/pt.yaml --nodes 2 --gpus 4 \\
        --out runs/italian/mlp-pt --model runs/italian/mlp/model

Exit status: 0 when all is well, 2 when something is missing or wrong; ``outcome`` ends with 75 for a stage
that was stopped on its way and is to be started again, and with 1 for one that has failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ndino.cluster import attempts, checks, family, staging
from ndino.common.errors import reason_of, remedy_for
from ndino.common.startup import prepare_process
from ndino.formats.llava_json import ConversationError
from ndino.formats.recipes import RecipeError, load_family
from ndino.train.stage import StageError, add_stage_arguments, stage_of

ARGUMENTS = "arguments"  # of the upstream trainer, with a null byte behind each


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m ndino.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True)

    def add(name: str, run, what: str, *, stage: bool = False) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what)
        command.set_defaults(run=run)
        if stage:
            add_stage_arguments(command)
        return command

    def place(command: argparse.ArgumentParser) -> None:
        command.add_argument("--nodes", type=int, required=True)
        command.add_argument("--gpus", type=int, required=True, help="a node: one rank each")
        command.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
        command.add_argument(
            "--distributed", default="ddp", help="a file of launch/accelerate (default: ddp)"
        )
        command.add_argument("--image", default="", help="of the engine; empty: its environment here")

    one = add("check", run_check, "check a stage before it waits or trains", stage=True)
    place(one)
    one.add_argument("--begin", action="store_true", help="then put on record that an attempt begins")
    one = add("gpus", run_gpus, "check that PyTorch sees this node's GPUs")
    place(one)
    one = add("prepare", run_prepare, "write what the upstream trainer reads", stage=True)
    place(one)
    add("outcome", run_outcome, "say how an attempt ended; convert and check a finished one", stage=True)
    one = add("family", run_family, "the family's jobs: as a graph, or as those to submit")
    _add_site(one)
    place(one)
    one.add_argument("--tasks", required=True, help="tasks or groups, with commas")
    one.add_argument("--perplexity-sets", required=True, help="NAME=DATA, with spaces")
    one.add_argument("--benchmarks", type=Path, required=True, help="folder of the data sets of both")
    one.add_argument("--queue", default="", help="numbers of the jobs in the queue")
    one.add_argument(
        "--submit", action="store_true", help="check, then print the jobs to submit as shell words"
    )
    one = add("status", run_status, "the family's jobs as a table; squeue's lines on standard input")
    _add_site(one)
    one = add("stage-weights", run_staging, "fetch models and data sets for nodes without a network")
    one.add_argument("family", type=Path)
    one.add_argument("--models", type=Path, default=Path("models"), help="default: models")
    one.add_argument(
        "--benchmarks", type=Path, default=Path("benchmarks-data"), help="default: benchmarks-data"
    )
    return made


def _add_site(command: argparse.ArgumentParser) -> None:
    command.add_argument("family", type=Path, help="family.yaml; its recipes lie beside it")
    command.add_argument("--runs", type=Path, required=True)
    command.add_argument("--engine", choices=("native", "llava-next"), required=True)
    command.add_argument("--language-model", type=Path, required=True)
    command.add_argument("--vision-tower", type=Path, required=True)
    command.add_argument("--models", type=Path, default=Path("models"))
    command.add_argument("--overrides", type=Path)


def run_check(options: argparse.Namespace) -> int:
    stage, allocation = stage_of(options), _place(options)
    found = checks.check(stage, allocation, engine=options.engine)
    for fact in found.facts:
        print(f"  {fact}")
    for problem in found.problems:
        print(f"ndino.cluster: {problem}", file=sys.stderr)
    if not found.problems and options.begin:
        attempts.begin(stage.out, os.environ, nodes=allocation.nodes, ranks=allocation.ranks)
    return 2 if found.problems else 0


def run_gpus(options: argparse.Namespace) -> int:
    if options.device == "cpu":
        return 0
    import torch

    problem = checks.gpus_seen(_place(options), torch.cuda.device_count)
    if problem:
        print(f"ndino.cluster: {problem}", file=sys.stderr)
    return 2 if problem else 0


def run_prepare(options: argparse.Namespace) -> int:
    from ndino.llava_next.engine import prepare_stage

    stage = stage_of(options)
    arguments = prepare_stage(stage, cpu=options.device == "cpu", ranks=_place(options).ranks)
    path = stage.out / ARGUMENTS
    path.unlink(missing_ok=True)
    if arguments is not None:
        path.write_text("".join(f"{argument}\0" for argument in arguments), encoding="utf-8")
    return 0


def run_outcome(options: argparse.Namespace) -> int:
    stage = stage_of(options)
    if options.engine == "llava-next":
        from ndino.llava_next.engine import RESULT, publish_stage

        if (stage.out / RESULT).exists():
            publish_stage(stage)
    attempts.end(stage.out)
    outcome, line = attempts.outcome(stage.out)
    print(
        f"ndino.cluster: {line}", file=sys.stderr if outcome is attempts.AttemptOutcome.FAILED else sys.stdout
    )
    return outcome


def run_family(options: argparse.Namespace) -> int:
    jobs = family.plan(load_family(options.family), _site(options))
    numbers, queued = family.submitted(options.runs), set(options.queue.split())
    if not options.submit:
        print("\n".join(family.graph(jobs, {name: it for name, it in numbers.items() if it in queued})))
        return 0
    from ndino.cluster import preflight
    from ndino.evaluation.benchmarks import task_names

    chosen = list(family.to_submit(jobs, numbers, queued))
    questions = preflight.EvaluationData(
        tuple(task_names(options.tasks)), tuple(options.perplexity_sets.split()), options.benchmarks
    )
    names = [job.name for job, _ in chosen]
    problems = list(preflight.problems(jobs, names, _site(options), _place(options), questions))
    for problem in problems:
        print(f"ndino.cluster: {problem}", file=sys.stderr)
    if problems:
        return 2
    for job, waits in chosen:
        print(family.as_words(job, waits))
    return 0


def run_status(options: argparse.Namespace) -> int:
    from rich.console import Console

    from ndino.cluster import status

    jobs = family.plan(load_family(options.family), _site(options))
    queue = status.read_queue(sys.stdin.read())
    status.show(status.rows(jobs, family.submitted(options.runs), queue, options.runs), Console())
    return 0


def run_staging(options: argparse.Namespace) -> int:
    chosen = load_family(options.family).baselines
    for item in staging.wanted(options.models, options.benchmarks, baselines=chosen):
        print(f"{item.source} -> {item.folder}")
        staging.fetch(item)
    return 0


def _place(options: argparse.Namespace) -> checks.Allocation:
    return checks.Allocation(options.nodes, options.gpus, options.device, options.distributed, options.image)


def _site(options: argparse.Namespace) -> family.FamilyPaths:
    return family.FamilyPaths(
        recipes=options.family.parent,
        runs=options.runs,
        engine=options.engine,
        language_model=options.language_model,
        vision_tower=options.vision_tower,
        models=options.models,
        overrides=options.overrides,
    )


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except (RecipeError, StageError, ConversationError, staging.StagingError, ValueError) as error:
        print(f"ndino.cluster: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        remedy = remedy_for(error, "rerun to resume")
        print(f"ndino.cluster: {reason_of(error)} (remedy: {remedy})", file=sys.stderr)
        return 2


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
