"""``ndino judge``: rate kept answers with a language model, and measure the model that rates."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.options import CommandParser, comma_separated, need_folder, need_no_file
from ndino.evaluation.models import ENDPOINT_KEY
from ndino.judge.judges import Judge, name_of_judge, open_judge

if TYPE_CHECKING:
    from ndino.judge.samples import JudgedScore

HELP = """
A language model rates open answers against their right ones, after LAVE: wrong 0, half right 0.5, right 1.
It sees texts alone, never an image.

docs/evaluation.md says what such a score is worth, and what is kept.
"""
EXAMPLES = ("ndino judge check --lang it", "ndino judge run runs/demo --judge models/qwen3-8b")
CHECKS = Path("runs/judge")


def add_arguments(parser: CommandParser) -> None:
    """Add the subcommands ``run`` and ``check``."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    run = commands.add_parser(
        "run",
        help="rate the kept answers of a run's models",
        description="Rate the answers of the tasks with open answers in RUN/eval/MODEL, those of their "
        "controls too. Each verdict is in RUN/eval/MODEL/judge/JUDGE/TASK.jsonl as soon as it is given; "
        "rerun to resume. judge.json beside it has the scores, and how far the judge agrees with labelled "
        "rows if ndino judge check was run.",
        examples=[
            "ndino judge run runs/demo --judge models/qwen3-8b",
            "ndino judge run runs --judge http://localhost:8000/v1#Qwen/Qwen3-8B --models it --tasks gqa-it",
        ],
    )
    run.set_defaults(run=_run)
    run.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, which holds eval/MODEL")
    check = commands.add_parser(
        "check",
        help="measure how far a judge agrees with labelled answers",
        description="Let a judge rate the labelled answers that come with the kit, right, wrong and nearly "
        "right ones, and print how far it agrees with their labels, beside exact match and the readers of "
        "our own metrics. Without --judge only those.",
        examples=[
            "ndino judge check --lang it",
            "ndino judge check --judge models/qwen3-8b",
            "ndino judge check --judge http://localhost:8000/v1#Qwen/Qwen3-8B --lang it",
        ],
    )
    check.set_defaults(run=_check)
    for command in (run, check):
        command.add_argument(
            "--judge",
            required=command is run,
            metavar="MODEL",
            help="an instruction-tuned language model: a folder, a name on the hub, or URL#NAME of an "
            f"OpenAI-compatible server; a key for it is read from the environment variable {ENDPOINT_KEY}",
        )
        command.add_argument(
            "--checks",
            type=Path,
            default=CHECKS,
            metavar="FOLDER",
            help="where checks of judges are kept (default: %(default)s)",
        )
    run.add_argument(
        "--models",
        type=comma_separated,
        metavar="NAMES",
        help="models of the run, comma-separated (default: all)",
    )
    run.add_argument(
        "--tasks",
        type=comma_separated,
        metavar="TASKS",
        help="tasks, comma-separated (default: those with open answers)",
    )
    check.add_argument(
        "--lang", default="it", metavar="CODE", help="language of the answers (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the subcommand, which has set ``args.run``."""
    return args.run(args)


def _check(args: argparse.Namespace) -> int:
    from ndino.judge.checking import CheckFiles, baselines, check, check_lines
    from ndino.judge.labelled import labelled_set
    from ndino.judge.prompts import JudgePrompt

    folder, rows = need_no_file(args.checks), labelled_set(args.lang)
    readers = {}
    if args.judge is not None:
        judge, prompt = open_judge(args.judge), JudgePrompt(args.lang)
        files = CheckFiles(folder, judge, prompt)
        readers[name_of_judge(judge)] = check(judge, prompt, rows, files)
    print("\n".join(check_lines(rows, {**baselines(rows), **readers})))
    for name, verdicts in readers.items():
        _say_unreadable(sum(verdict is None for verdict in verdicts), len(verdicts), files.verdicts)
        print(f"\n{name}: {files.figures}")
    return 0


def _run(args: argparse.Namespace) -> int:
    from ndino.evaluation.store import ResultsStore
    from ndino.judge.prompts import JudgePrompt
    from ndino.judge.samples import JudgedModel, entry_of, evaluated_models, judged_tasks
    from ndino.judge.verdicts import held
    from ndino.languages.language import code_of_task

    folder = need_folder(args.folder, "the folder that holds eval/MODEL")
    judge = open_judge(args.judge)
    stores = [ResultsStore.of(path) for path in evaluated_models(folder, args.models)]
    tasks = judged_tasks(stores, args.tasks)
    prompts = {task: JudgePrompt(code_of_task(task) or "") for task in tasks}
    checks = _checks(judge, {prompt.code for prompt in prompts.values()}, args.checks)
    models = [JudgedModel(store, judge) for store in stores]
    # Models may give the same answers.
    known: dict[str, Any] = {}
    for model in models:
        known |= model.known()
    scores: dict[tuple[str, str], Mapping[str, JudgedScore]] = {}
    for store, model in zip(stores, models, strict=True):
        with held(model.folder):
            entries = model.entries()
            others = _checks(judge, {entry["language"] for entry in entries.values()}, args.checks)
            for task in (task for task in tasks if task in store.results["tasks"]):
                found = model.judge(task, prompts[task], known)
                scores[store.folder.name, task] = found
                entries[task] = entry_of(prompts[task], found)
                model.write(entries, others | checks)
                unreadable = sum(score.unreadable for score in found.values())
                verdicts = unreadable + sum(score.judged for score in found.values())
                _say_unreadable(unreadable, verdicts, model.folder)
    _print_scores(judge, checks, scores)
    return 0


def _checks(judge: Judge, languages: Iterable[str], folder: Path) -> dict[str, Any]:
    """The figures of the judge's check in each language; None where it was not checked."""
    from ndino.judge.checking import CheckFiles, figures_of
    from ndino.judge.labelled import FOLDER, labelled_set
    from ndino.judge.prompts import JudgePrompt

    found: dict[str, Any] = {}
    for code in sorted(languages):
        labelled = (FOLDER / f"{code}.jsonl").exists()
        files = CheckFiles(folder, judge, JudgePrompt(code))
        found[code] = figures_of(files, labelled_set(code)) if labelled else None
    return found


def _say_unreadable(unreadable: int, verdicts: int, where: Path) -> None:
    if unreadable:
        print(
            f"ndino judge: {unreadable} of {verdicts} verdicts could not be read and do not count: "
            f"{where} keeps what the judge wrote, with the verdict null; remove these lines to ask again",
            file=sys.stderr,
        )


def _print_scores(
    judge: Judge, checks: Mapping[str, Any], scores: Mapping[tuple[str, str], Mapping[str, JudgedScore]]
) -> None:
    from ndino.common.markdown import percent, table

    rows: list[Sequence[str]] = []
    for (model, task), found in scores.items():
        for control, score in found.items():
            shown = "–" if score.mean is None else percent(score.mean)
            interval = score.interval and f"[{percent(score.interval[0])}, {percent(score.interval[1])}]"
            counts = score.n, score.unreadable, score.empty, score.without_reference
            rows.append([model, task, control or "right images", shown, interval or "", *map(str, counts)])
    header = ["model", "task", "images", "judged", "95 %", "n", "unreadable", "empty", "no right answer"]
    print("\n".join(table(header, rows)))
    print()
    for code, figures in checks.items():
        print(f"judged by {name_of_judge(judge)} ({check_text(figures)}) in {code}; texts alone, no image")


def check_text(figures: Mapping[str, Any] | None) -> str:
    """What stands beside a judged score about its judge."""
    from ndino.common.markdown import coefficient

    if figures is None:
        return "not checked"
    kappa = coefficient(figures["kappa"], figures["kappa_interval"])
    return f"kappa {kappa} on {figures['rows']} labelled rows"
