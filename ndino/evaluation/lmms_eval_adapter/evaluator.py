"""Runs lmms-eval's evaluator on one task, and takes a group's totals as lmms-eval does."""

from __future__ import annotations

import argparse
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.lmms_eval_adapter.task_index import TaskIndex

if TYPE_CHECKING:
    from lmms_eval.api.model import lmms


@dataclass(frozen=True)
class EvaluatedSample:
    """One row with its answer; ``values`` is what each metric makes of it, numbers or what a total needs.

    ``letters`` holds the log-probabilities of its letters, where it was answered by these.
    """

    doc_id: int
    document: dict[str, Any]
    prompt: str
    target: Any
    answer: Any
    values: dict[str, Any]
    letters: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """A task's samples in lmms-eval's order reversed, and its metrics in the YAML's order."""

    samples: list[EvaluatedSample]
    metrics: dict[str, float]


def evaluate(model: lmms, loaded: LoadedTask, index: TaskIndex, *, limit: int | None) -> Evaluation | None:
    """Ask a model all questions of a task; call it within `surroundings.task_environment`.

    Of several processes only the first gets an evaluation, the others None.
    """
    from lmms_eval.evaluator import simple_evaluate

    # lmms-eval takes a model apart after a task; ours has more tasks to answer.
    model.clean = lambda: None
    # A wrapper that answers by letters notes their log-probabilities here, by task and row.
    vars(model)["letters"] = {}
    results = simple_evaluate(
        model=model,
        tasks=[loaded.task],
        limit=limit,
        # Standard errors are ours (`standard_errors.py`).
        bootstrap_iters=0,
        task_manager=index.manager,
        verbosity="WARNING",
        **_one_thread(simple_evaluate),
        # Scoring needs no images; without this each of them is decoded once more.
        cli_args=argparse.Namespace(process_with_media=False),
    )
    if results is None:
        return None
    # Several processes may answer a padded sample twice; the first answer counts. Reversed, because the
    # bootstrap's draws depend on the order and stored standard errors were drawn in this one.
    samples = {sample["doc_id"]: sample for sample in reversed(results["samples"][loaded.name])}
    found = results["results"][loaded.name]
    metrics = list(loaded.totals)
    order = [f"{metric},{name}" for name in loaded.filter_names for metric in metrics]
    letters = vars(model)["letters"].get(loaded.name, {})
    return Evaluation(
        [_evaluated(sample, metrics, letters.get(number, {})) for number, sample in samples.items()],
        {key.removesuffix(",none"): float(found[key]) for key in order if is_number(found.get(key))},
    )


def _evaluated(sample: Mapping[str, Any], metrics: list[str], letters: dict[str, float]) -> EvaluatedSample:
    return EvaluatedSample(
        doc_id=sample["doc_id"],
        document=sample["doc"],
        prompt=sample["arguments"][0],
        target=sample["target"],
        answer=sample["filtered_resps"][0],
        values={metric: sample[metric] for metric in metrics if metric in sample},
        letters=letters,
    )


def group_totals(
    index: TaskIndex,
    group: str,
    tasks: Mapping[str, LoadedTask],
    sizes: Mapping[str, int],
    metrics: Mapping[str, Mapping[str, float]],
) -> dict[str, float]:
    """A group's totals as lmms-eval takes them from its tasks' metrics; empty where its YAML defines none.

    Args:
        tasks: the group's tasks by name.
        sizes: how many questions of each were asked, which weigh the means.
        metrics: each task's metrics.
    """
    from lmms_eval.api.group import ConfigurableGroup
    from lmms_eval.evaluator_utils import consolidate_group_results

    definition = ConfigurableGroup(config=index.config(group))
    if not definition.config["aggregate_metric_list"]:
        return {}
    results: dict[str, dict[str, Any]] = {group: {}}
    for name in tasks:
        stated = {f"{metric},none": value for metric, value in metrics[name].items()}
        errors = {f"{metric}_stderr,none": "N/A" for metric in metrics[name]}
        results[name] = {"alias": name, "samples": sizes[name], **stated, **errors}
    tree = {definition: {name: loaded.task for name, loaded in tasks.items()}}
    found = consolidate_group_results(results, {}, tree)[0][group]
    return {
        metric: float(found[f"{metric},none"])
        for metric in metrics[next(iter(tasks))]
        if is_number(found.get(f"{metric},none"))
    }


def is_number(value: Any) -> bool:
    """Whether a metric's value is a finite number; lmms-eval writes ``N/A`` and the like beside them."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _one_thread(simple_evaluate: Callable[..., Any]) -> dict[str, Any]:
    # The release scores in several threads unless told otherwise; the pinned commit has no such option.
    option = "process_docs_parallel"
    return {option: 1} if option in inspect.signature(simple_evaluate).parameters else {}
