"""``ndino evaluate``: score models on our tasks, in any language, or on others of lmms-eval."""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ndino.common.errors import UsageError, reason_of, remedy_for, with_remedy
from ndino.common.files import key_of
from ndino.common.interrupts import raise_if_interrupted
from ndino.common.options import CommandParser, comma_separated, language_codes, need_folder, positive
from ndino.evaluation.answer_store import AnswerStore
from ndino.evaluation.askable import require_askable, require_scoring
from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.commands.evaluation_run import EvaluationRun
from ndino.evaluation.commands.score_table import table_of
from ndino.evaluation.controls import controls_of
from ndino.evaluation.errors import EndpointError
from ndino.evaluation.lmms_eval_adapter.answering import attach_store
from ndino.evaluation.lmms_eval_adapter.models import load_model, model_class, wrapper_identity
from ndino.evaluation.lmms_eval_adapter.surroundings import (
    go_offline,
    logged_errors,
    quiet_libraries,
    set_library_environment,
    working_directory,
)
from ndino.evaluation.models import (
    ENDPOINT,
    ENDPOINT_KEY,
    HF,
    Backend,
    Model,
    batch_size,
    find_model,
    parse_backend,
    parse_model,
)
from ndino.evaluation.processes import Processes
from ndino.evaluation.progress import patience
from ndino.evaluation.provenance import made_with
from ndino.evaluation.store import ResultsStore, hold
from ndino.evaluation.tasks.framework.instructions import require_tasks

HELP = """
Score models on our tasks, in Italian or another language (--lang), or on any other task of lmms-eval.

Each finished task is written to OUT/NAME/TASK.jsonl (one line for each question) and OUT/NAME/results.json.
Every answer is kept in OUT/.cache/answers/NAME as soon as its batch is done; rerun to resume.

On several GPUs: accelerate launch --num_processes N -m ndino evaluate ...

Backends:
  hf                 our batched LLaVA-NeXT (llava_next_it), CPU or GPU; the default
  lmms:NAME[,k=v…]   any model of lmms-eval, such as lmms:llava_hf; without a GPU it is given device=cpu
  vllm[,k=v…]        lmms-eval's vLLM, never run here: the package vllm wants an older transformers than
                     ours; serve the model with it, and give its address to --endpoint

With --endpoint an OpenAI-compatible server runs the model: vLLM, llama.cpp's or a cloud's.
"""
EXAMPLES = (
    "ndino evaluate --model runs/demo/mlp-pt-it/model --data runs/demo/data/benchmarks",
    "ndino evaluate --model IT=runs/a/model --model PT+IT=runs/b/model --tasks pope-it,gqa-it --shuffle",
    "ndino evaluate --model runs/es/mlp-pt-it/model --lang es --data data/benchmarks_es/benchmarks",
    "ndino evaluate --endpoint http://localhost:8000/v1 --model it --data data/benchmarks",
)


def add_arguments(parser: CommandParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        action="append",
        required=True,
        metavar="[NAME=]FOLDER_OR_HUB_ID",
        help="model to score, as NAME in the results; repeatable",
    )
    add(
        "--endpoint",
        metavar="URL",
        help="ask --model, as the server at URL names it, such as http://localhost:8000/v1; a key is read "
        f"from the environment variable {ENDPOINT_KEY}",
    )
    add("--name", help="name of the model in the results, with a single --model")
    add(
        "--tasks",
        type=comma_separated,
        metavar="TASKS",
        help="tasks or groups, comma-separated (default: ndino-it)",
    )
    add(
        "--lang",
        type=language_codes,
        metavar="CODES",
        help="the tasks of these languages, such as es or it,es",
    )
    add(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="folder with the datasets under their hub names (default: the hub)",
    )
    add(
        "--limit",
        type=positive,
        metavar="N",
        help="only the first N questions of each task (default: all); one that is asked with all rotations "
        "of its options counts once, and so do MME's two about an image",
    )
    add(
        "--batch",
        type=positive,
        metavar="N",
        help="questions answered at once (default: hf and --endpoint 16, vllm 64, others 1)",
    )
    add(
        "--shuffle",
        type=positive,
        nargs="?",
        const=1,
        default=0,
        metavar="N",
        help="also ask with the wrong images, as a control; N times, each with another exchange (N: 1)",
    )
    add("--blank", action="store_true", help="also ask with a grey image in place of each, as a control")
    add("--backend", default="hf", help="what runs the model, see above (default: %(default)s)")
    add(
        "--out", type=Path, default=Path("runs/eval"), metavar="FOLDER", help="results (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    try:
        with contextlib.ExitStack() as held:
            run = _prepare(args, held)
            with working_directory(args.data):
                _evaluate(run)
                for note in run.notes:
                    print(f"ndino evaluate: {note}", file=sys.stderr)
                if run.first:
                    _totals(run)
                    table = table_of(run)
    except _TogetherError:
        return 1
    if run.first:
        print(table)
    for failure in run.failures:
        print(f"ndino evaluate: {failure}", file=sys.stderr)
    return 1 if run.failures else 0


class _TogetherError(Exception):
    """A failure in one of several processes. It must end, since the others wait for it at a barrier."""


def _prepare(options: argparse.Namespace, held: contextlib.ExitStack) -> EvaluationRun:
    """Find and check everything that the run needs, except that no weights are loaded yet.

    The models' folders are ``held`` against other runs.
    """
    _environment(options)
    backend = _backend(options)
    names = _names(options)
    tasks = _tasks(options)
    out = options.out.resolve()
    processes = Processes.join()
    if processes.count > 1 and backend.kind.startswith("vllm"):
        raise UsageError(
            "vllm runs in one process (remedy: --backend vllm,tensor_parallel_size=N for N GPUs)"
        )
    if processes.count > 1 and backend.kind == ENDPOINT:
        raise UsageError("an endpoint is asked by one process (remedy: --batch N for N questions at once)")
    with processes.first_alone():
        models = [find_model(name, source, backend) for name, source in names]
        if processes.rank == 0:
            for model in models:
                held.enter_context(hold(out / model.name))
        stores = {model.name: ResultsStore(out / model.name, model) for model in models}
        with quiet_libraries(), working_directory(options.data):
            benchmarks = Benchmarks(
                tasks,
                data=options.data,
                cache=out / ".cache",
                limit=options.limit,
                task_type="simple" if model_class(backend).is_simple else "chat",
            )
            benchmarks.load()
            require_scoring(backend, benchmarks)
            wrapper = wrapper_identity(backend)
            run = EvaluationRun(
                *(models, stores, benchmarks, backend, wrapper),
                *(options.batch, controls_of(options.shuffle, options.blank), out, processes),
            )
            _keep_what_is_there(run)
            pending = {model.name: run.pending(model) for model in models}
            for model in models:
                if pending[model.name]:
                    require_askable(model, backend, benchmarks)
            asked = dict.fromkeys(task for found in pending.values() for task, _ in found)
            benchmarks.note_other_languages(asked)
            # A control looks at every image, so a finished one is not loaded again.
            unfinished = dict.fromkeys(each for found in pending.values() for each in found)
            for task, control in unfinished:
                benchmarks.task(task, control)
    for note in benchmarks.notes if run.first else ():
        print(f"ndino evaluate: {note}", file=sys.stderr)
    return run


def _backend(options: argparse.Namespace) -> Backend:
    if options.endpoint is None:
        return parse_backend(options.backend)
    if options.backend != HF.kind:
        raise UsageError("--endpoint goes without --backend: the server runs the model (remedy: one of them)")
    from ndino.common.endpoint.address import checked_address

    return Backend(ENDPOINT, checked_address(options.endpoint, "--endpoint", ENDPOINT_KEY))


def _keep_what_is_there(run: EvaluationRun) -> None:
    limit = run.benchmarks.limit
    for model in run.models:
        store = run.stores[model.name]
        store.require_unmixed(run.answers_depend_on(model), run.benchmarks.names)
        for task in run.benchmarks.names:
            answers = store.results["tasks"].get(task, {}).get("n", 0)
            if limit is not None and answers > run.benchmarks.size(task):
                raise UsageError(
                    f"{store.folder}: holds {answers} answers to {task}, which --limit {limit} would replace "
                    "(remedy: choose another --out)"
                )


def _environment(options: argparse.Namespace) -> None:
    set_library_environment()
    if options.data is None:
        return
    options.data = need_folder(options.data, "name the folder that holds the datasets").resolve()
    if options.endpoint or all(Path(parse_model(text)[1]).is_dir() for text in options.model):
        go_offline()


def _names(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Each model's name and what the user gave for it."""
    named = [parse_model(text) for text in options.model]
    if options.name:
        if len(named) > 1:
            raise UsageError("--name goes with a single --model (remedy: --model NAME=FOLDER for each)")
        named = [(options.name, named[0][1])]
    names = [name for name, _ in named]
    for name in names:
        if name.startswith(".") or "/" in name:
            raise UsageError(
                f"'{name}' is no name for a folder of results (remedy: one without / and leading dot)"
            )
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two models are called {', '.join(twice)} (remedy: --model NAME=FOLDER)")
    return named


def _tasks(options: argparse.Namespace) -> list[str]:
    """The tasks and groups that are asked for."""
    if options.lang is None:
        return options.tasks or ["ndino-it"]
    if options.tasks is not None:
        code = options.lang[0]
        raise UsageError(
            f"--lang goes without --tasks (remedy: --tasks with tasks of the language, such as pope-{code})"
        )
    for code in options.lang:
        require_tasks(code)
    return [f"ndino-{code}" for code in options.lang]


def _evaluate(run: EvaluationRun) -> None:
    pending = {model.name: run.pending(model) for model in run.models}
    if run.first:
        for line in (line for model in run.models for line in run.stale(model)):
            print(f"ndino evaluate: {line}", file=sys.stderr)
    total = sum(run.benchmarks.size(task) for tasks in pending.values() for task, _ in tasks)
    hidden = not total or not run.first
    with tqdm(total=total, unit="q", file=sys.stderr, mininterval=patience(), disable=hidden) as bar:
        for model in run.models:
            if pending[model.name]:
                _evaluate_model(run, model, pending[model.name], bar)


def _count(bar: tqdm, answered: int) -> None:
    # The answers are kept by now.
    raise_if_interrupted()
    bar.update(answered)


def _evaluate_model(run: EvaluationRun, model: Model, pending: list[tuple[str, str]], bar: tqdm) -> None:
    try:
        with quiet_libraries():
            loaded: Any = load_model(model, run.backend, run.batch)
        attach_store(
            loaded,
            AnswerStore(run.out / ".cache" / "answers" / model.name, run.processes.rank),
            identity=key_of(run.answers_depend_on(model)),
            size=batch_size(run.backend, run.batch),
            on_answered=partial(_count, bar),
        )
    except Exception as error:
        # Every reader of weights raises errors of its own, so none of them is a bug of ours.
        _fail(run, f"{model.name}: cannot be loaded", error, expected=True)
        return
    failed: set[str] = set()
    for task, control in pending:
        raise_if_interrupted()
        if task in failed:  # a control belongs to the answers with right images
            bar.update(run.benchmarks.size(task))
            continue
        asked = f"{task} {control}".rstrip()
        bar.set_description(f"{model.name} {asked}", refresh=False)
        before = bar.n
        try:
            with quiet_libraries():
                _evaluate_task(run, model, loaded, task, control)
        except EndpointError as error:  # whatever is asked next
            _fail(run, f"{model.name}: stopped at {asked}", error)
            break
        except Exception as error:
            failed.add(task)
            _fail(run, f"{model.name}: {asked} failed", error)
        # Questions that other processes answered, or that failed, advance the bar here.
        bar.update(before + run.benchmarks.size(task) - bar.n)
    if run.backend.kind == ENDPOINT:
        run.notes.append(f"{model.name}: {loaded.summary()}")
    del loaded
    gc.collect()


def _evaluate_task(run: EvaluationRun, model: Model, loaded: Any, task: str, control: str) -> None:
    benchmarks, store = run.benchmarks, run.stores[model.name]
    right = store.rows(task) if control and run.first else ()
    with logged_errors() as logged:
        outcome = benchmarks.ask(loaded, task, control, right=right)
    if outcome is None:
        return
    if logged and (empty := sum(not row["answer"] for row in outcome.rows)):
        # lmms-eval's wrappers log an error, answer with an empty text and continue.
        raise RuntimeError(f"{empty} of {len(outcome.rows)} answers are empty: {logged[0]}")
    if control:
        store.save_control(task, control, outcome.rows, outcome.metrics)
        return
    depends = run.depends(model, task)
    benchmarks.save_images(task, run.out / "images" / task)
    store.save(
        task,
        depends,
        outcome.rows,
        outcome.metrics,
        version=benchmarks.version(task),
        origin=benchmarks.origin(task),
        errors=outcome.errors,
        majority=benchmarks.majority(task),
        made_with=made_with(
            depends["answers"]["device"],
            data_revisions=benchmarks.revisions(task),
            **(loaded.stated() if run.backend.kind == ENDPOINT else {}),
        ),
    )


def _fail(run: EvaluationRun, what: str, error: Exception, *, expected: bool = False) -> None:
    remedy = remedy_for(error, "put it right and rerun; what is finished is kept")
    run.failures.append(with_remedy(f"{what}: {reason_of(error)}", remedy))
    # lmms-eval's wrappers use assertions to say what they support, such as the size of a batch.
    if not expected and not isinstance(error, (ValueError, RuntimeError, OSError, AssertionError)):
        traceback.print_exception(error, file=sys.__stderr__)
    if run.processes.count > 1:
        print(f"ndino evaluate: process {run.processes.rank}: {run.failures[-1]}", file=sys.__stderr__)
        raise _TogetherError from error


def _totals(run: EvaluationRun) -> None:
    for model in run.models:
        store, current = run.stores[model.name], run.current(model)
        store.save_origins({task: run.benchmarks.origin(task) for task in current})
        for group, tasks in run.benchmarks.groups.items():
            entries = {task: current[task]["metrics"] for task in tasks if task in current}
            if len(entries) == len(tasks) and (totals := run.benchmarks.totals(group, entries)):
                store.save_group(group, totals)
