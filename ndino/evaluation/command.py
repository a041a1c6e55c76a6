"""Score models on the Italian tasks, or on any other task of lmms-eval.

    python -m ndino evaluate --model runs/demo/mlp-pt-it/model --data runs/demo/data/benchmarks
    python -m ndino evaluate --model IT=runs/a/model --model PT+IT=runs/b/model --tasks pope-it --shuffle

Each finished task is written at once to OUT/NAME/TASK.jsonl (a line for each question) and to
OUT/NAME/results.json. Every answer is kept in OUT/.cache/answers/NAME as soon as its batch is done: a second
start asks only what is missing. Several GPUs: accelerate launch --num_processes N -m ndino evaluate ...
Exit status: 0 when all is done, 2 when something is missing before the start, 1 when anything failed later.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ndino.common.errors import reason_of, remedy_for
from ndino.common.files import key_of
from ndino.common.startup import prepare_process
from ndino.evaluation.answer_store import AnswerStore
from ndino.evaluation.benchmarks import Benchmarks, task_names
from ndino.evaluation.errors import SetupError
from ndino.evaluation.lmms_eval_adapter.answering import attach_store
from ndino.evaluation.lmms_eval_adapter.models import load_model, model_class
from ndino.evaluation.lmms_eval_adapter.surroundings import (
    go_offline,
    logged_errors,
    quiet_libraries,
    set_library_environment,
    working_directory,
)
from ndino.evaluation.models import (
    Backend,
    Model,
    batch_size,
    find_model,
    parse_backend,
    parse_model,
)
from ndino.evaluation.processes import Processes
from ndino.evaluation.progress import patience
from ndino.evaluation.store import ResultsStore, hold

BACKENDS = """backends:
  hf                 our batched LLaVA-NeXT (llava_next_it), CPU or GPU; the default
  lmms:NAME[,k=v…]   any model of lmms-eval, such as lmms:llava_hf; without a GPU it is told device=cpu
  vllm[,k=v…]        lmms-eval's vLLM; passed on as it is, not tested: it needs a GPU and the package vllm
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m ndino evaluate",
        description=__doc__,
        epilog=BACKENDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--model", action="append", required=True, metavar="[NAME=]FOLDER_OR_HUB_ID", help="may come often")
    add("--name", help="name of the results' folder, with a single --model")
    add("--tasks", default="ndino-it", help="tasks or groups, with commas (default: ndino-it)")
    add("--data", type=Path, help="folder that holds the datasets under their hub names")
    add("--limit", type=_positive, help="ask only the first LIMIT questions of each task")
    add("--batch", type=_positive, help="questions answered at once (default: hf 16, vllm 64, others 1)")
    add("--shuffle", action="store_true", help="ask again with wrong images (the control)")
    add("--backend", default="hf", help="see below (default: hf)")
    add("--out", type=Path, default=Path("runs/eval"), help="default: runs/eval")
    return made


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


@dataclass
class EvaluationRun:
    """One call of the command: models, tasks, where results go, and what has failed so far."""

    models: list[Model]
    stores: dict[str, ResultsStore]
    benchmarks: Benchmarks
    backend: Backend
    batch: int | None
    shuffle: bool
    out: Path
    processes: Processes
    failures: list[str] = field(default_factory=list)

    @property
    def first(self) -> bool:
        """Whether this process writes the results; only the first of several does."""
        return self.processes.rank == 0

    def key(self, model: Model, task: str) -> str:
        """The key of everything that this model's result on this task depends on."""
        tasks = self.benchmarks
        asked = (tasks.data_key(task), tasks.version(task), tasks.limit)
        return key_of(model.fingerprint, str(self.backend), *asked)

    def pending(self, model: Model) -> list[tuple[str, bool]]:
        """The pairs (task, shuffled) that are not finished."""
        store = self.stores[model.name]
        wanted = [(task, shuffled) for task in self.benchmarks.names for shuffled in (False, self.shuffle)]
        keys = {task: self.key(model, task) for task in self.benchmarks.names}
        return [
            (task, shuffled)
            for task, shuffled in dict.fromkeys(wanted)
            if not store.done(task, keys[task], shuffled=shuffled)
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        with contextlib.ExitStack() as held:
            run = _prepare(options, held)
            with working_directory(options.data):
                _evaluate(run)
                if run.first:
                    _totals(run)
    except SetupError as error:
        print(f"ndino evaluate: {error}", file=sys.stderr)
        return 2
    except _TogetherError:
        return 1
    except OSError as error:
        remedy = remedy_for(error, "rerun to resume; answers are kept")
        print(f"ndino evaluate: {reason_of(error)} (remedy: {remedy})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nndino evaluate: stopped; answers are kept, rerun to resume", file=sys.stderr)
        return 130
    if run.first:
        print(_table(run))
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
    backend = parse_backend(options.backend)
    models = _models(options, backend)
    out = options.out.resolve()
    processes = Processes.join()
    if processes.count > 1 and backend.kind.startswith("vllm"):
        raise SetupError("vllm runs in one process (for N GPUs: --backend vllm,tensor_parallel_size=N)")
    with processes.first_alone():
        if processes.rank == 0:
            for model in models:
                held.enter_context(hold(out / model.name))
        stores = {model.name: ResultsStore(out / model.name, model) for model in models}
        with quiet_libraries(), working_directory(options.data):
            benchmarks = Benchmarks(
                task_names(options.tasks),
                data=options.data,
                cache=out / ".cache",
                limit=options.limit,
                task_type="simple" if model_class(backend).is_simple else "chat",
            )
            benchmarks.load(shuffled=False)
            if options.shuffle:
                benchmarks.load(shuffled=True)
    run = EvaluationRun(models, stores, benchmarks, backend, options.batch, options.shuffle, out, processes)
    _keep_what_is_there(run)
    return run


def _keep_what_is_there(run: EvaluationRun) -> None:
    limit = run.benchmarks.limit
    for model in run.models:
        store = run.stores[model.name]
        for task in run.benchmarks.names:
            answers = store.results["tasks"].get(task, {}).get("n", 0)
            if limit is not None and answers > limit:
                raise SetupError(
                    f"{store.folder}: holds {answers} answers to {task}, which --limit {limit} would replace "
                    "(choose another --out)"
                )


def _environment(options: argparse.Namespace) -> None:
    set_library_environment()
    if options.data is None:
        return
    if not options.data.is_dir():
        raise SetupError(f"{options.data}: no such data folder (give the folder that holds the datasets)")
    options.data = options.data.resolve()
    if all(Path(parse_model(text)[1]).is_dir() for text in options.model):
        go_offline()


def _models(options: argparse.Namespace, backend: Backend) -> list[Model]:
    named = [parse_model(text) for text in options.model]
    if options.name:
        if len(named) > 1:
            raise SetupError("--name goes with a single --model (write --model NAME=FOLDER for several)")
        named = [(options.name, named[0][1])]
    names = [name for name, _ in named]
    for name in names:
        if name.startswith(".") or "/" in name:
            raise SetupError(
                f"'{name}' is no name for a folder of results (choose one without / and leading dot)"
            )
    if twice := {name for name in names if names.count(name) > 1}:
        raise SetupError(f"two models are called {', '.join(twice)} (write --model NAME=FOLDER)")
    return [find_model(name, source, backend) for name, source in named]


def _evaluate(run: EvaluationRun) -> None:
    pending = {model.name: run.pending(model) for model in run.models}
    total = sum(run.benchmarks.size(task) for tasks in pending.values() for task, _ in tasks)
    hidden = not total or not run.first
    with tqdm(total=total, unit="q", file=sys.stderr, mininterval=patience(), disable=hidden) as bar:
        for model in run.models:
            if pending[model.name]:
                _evaluate_model(run, model, pending[model.name], bar)


def _evaluate_model(run: EvaluationRun, model: Model, pending: list[tuple[str, bool]], bar: tqdm) -> None:
    try:
        with quiet_libraries():
            loaded = load_model(model, run.backend, run.batch)
        attach_store(
            loaded,
            AnswerStore(run.out / ".cache" / "answers" / model.name, run.processes.rank),
            backend=str(run.backend),
            fingerprint=model.fingerprint,
            size=batch_size(run.backend, run.batch),
            on_answered=bar.update,
        )
    except Exception as error:
        # Every reader of weights raises errors of its own, so none of them is a bug of ours.
        _fail(run, f"{model.name}: cannot be loaded", error, expected=True)
        return
    for task, shuffled in pending:
        bar.set_description(f"{model.name} {task}{' shuffled' if shuffled else ''}", refresh=False)
        before = bar.n
        try:
            with quiet_libraries():
                _evaluate_task(run, model, loaded, task, shuffled)
        except Exception as error:
            _fail(run, f"{model.name}: {task}{' shuffled' if shuffled else ''} failed", error)
        # Questions that other processes answered, or that failed, advance the bar here.
        bar.update(before + run.benchmarks.size(task) - bar.n)
    del loaded
    gc.collect()


def _evaluate_task(run: EvaluationRun, model: Model, loaded: object, task: str, shuffled: bool) -> None:
    benchmarks, store = run.benchmarks, run.stores[model.name]
    with logged_errors() as logged:
        outcome = benchmarks.ask(loaded, task, shuffled=shuffled)
    if outcome is None:
        return
    if logged and (empty := sum(not row["answer"] for row in outcome.rows)):
        # lmms-eval's wrappers log an error, answer with an empty text and continue.
        raise RuntimeError(f"{empty} of {len(outcome.rows)} answers are empty: {logged[0]}")
    key = run.key(model, task)
    if not shuffled:
        benchmarks.save_images(task, run.out / "images" / task)
    store.save(
        task,
        key,
        outcome.rows,
        outcome.metrics,
        shuffled=shuffled,
        version=benchmarks.version(task),
        errors=outcome.errors,
        majority=benchmarks.majority(task),
    )


def _fail(run: EvaluationRun, what: str, error: Exception, *, expected: bool = False) -> None:
    remedy = remedy_for(error, "")
    run.failures.append(f"{what}: {reason_of(error)}" + (f" (remedy: {remedy})" if remedy else ""))
    # lmms-eval's wrappers use assertions to say what they support, such as the size of a batch.
    if not expected and not isinstance(error, (ValueError, RuntimeError, OSError, AssertionError)):
        traceback.print_exception(error, file=sys.__stderr__)
    if run.processes.count > 1:
        print(f"ndino evaluate: process {run.processes.rank}: {run.failures[-1]}", file=sys.__stderr__)
        raise _TogetherError from error


def _totals(run: EvaluationRun) -> None:
    for model in run.models:
        store = run.stores[model.name]
        for group, tasks in run.benchmarks.groups.items():
            entries = {task: store.results["tasks"].get(task, {}).get("metrics") for task in tasks}
            if all(entries.values()) and (totals := run.benchmarks.totals(group, entries)):
                store.save_group(group, totals)


def _table(run: EvaluationRun) -> str:
    from pytablewriter import MarkdownTableWriter
    from pytablewriter.style import Style
    from pytablewriter.typehint import String

    rows = []
    for model in run.models:
        results = run.stores[model.name].results
        for task in run.benchmarks.names:
            if (entry := results["tasks"].get(task)) is None:
                rows.append([model.name, task, *["–"] * 7])
                continue
            metric, score = next(iter(entry["metrics"].items()))
            control = entry["shuffled"].get(metric)
            gain = None if control is None else score - control
            others = [entry["metrics"].get("robust"), entry["majority"].get(metric), control, gain]
            error = entry.get("errors", {}).get(metric)
            shown = _percent(score) + ("" if error is None else f" ± {_percent(error)}")
            rows.append([model.name, task, entry["n"], metric, shown, *map(_percent, others)])
        for group in run.benchmarks.groups:
            if totals := results["groups"].get(group):
                metric, score = next(iter(totals.items()))
                scores = [score, totals.get("robust"), None, None, None]
                rows.append([model.name, group, "", metric, *map(_percent, scores)])
    headers = ["model", "task", "n", "metric", "score", "robust", "majority", "shuffled", "right − shuffled"]
    writer = MarkdownTableWriter(headers=headers, value_matrix=rows, margin=1)
    writer.type_hints = [String] * len(headers)
    writer.column_styles = [Style(align="right" if i in (2, 4, 5, 6, 7, 8) else "left") for i in range(9)]
    return writer.dumps()


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
