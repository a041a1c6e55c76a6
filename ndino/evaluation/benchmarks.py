"""lmms-eval's tasks: found, their data checked, loaded once a process, and asked of a model one at a time."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import inspect
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.errors import reason_of, remedy_for
from ndino.common.files import key_of, whole_file
from ndino.evaluation import shuffle
from ndino.evaluation.errors import SetupError
from ndino.evaluation.local_data import changes, is_hub_layout
from ndino.evaluation.standard_errors import standard_errors
from ndino.evaluation.tasks import DATASETS_CACHE, LETTER_ANSWER, SHORT_ANSWER
from ndino.evaluation.wrong_images import exchange_task_images
from ndino.formats.hub_folders import content_key
from ndino.formats.prompts import IMAGE_TOKEN

if TYPE_CHECKING:
    from lmms_eval.api.model import lmms
    from lmms_eval.api.task import ConfigurableTask
    from lmms_eval.tasks import TaskManager
    from PIL.Image import Image

EXAMPLE_IMAGES, EXAMPLE_PIXELS = 8, 672
CONSTANT_ANSWERS = 10

Metrics = dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a model did on one task: a row for each question, the metrics and their standard errors."""

    rows: list[dict[str, Any]]
    metrics: Metrics
    errors: Metrics = field(default_factory=dict)


def task_names(text: str) -> list[str]:
    """The names in a comma-separated list, with or without spaces around them.

    Raises:
        SetupError: there is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SetupError("no task is named (write them comma-separated, such as --tasks pope-it,gqa-it)")
    return names


class Benchmarks:
    """The tasks that ``names`` (tasks and groups) come to.

    Args:
        names: as lmms-eval knows them.
        data: folder in which the tasks' datasets lie as they are called on the hub, and which is the working
            directory whenever tasks are loaded and asked; None for the hub.
        cache: where ``datasets`` may keep what it has read of ``data``.
        limit: number of questions of each task, from the first; None for all.
        task_type: lmms-eval's name for the model's interface, ``simple`` or ``chat``.

    Raises:
        SetupError: unknown task, ``data`` lacks a dataset, or there is no ``data`` and the hub lacks one.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        data: Path | None = None,
        cache: Path | None = None,
        limit: int | None = None,
        task_type: str = "simple",
    ) -> None:
        self.data, self.cache, self.limit, self.task_type = data, cache, limit, task_type
        self._manager = _manager(names)
        self._loaded: dict[tuple[str, bool], ConfigurableTask] = {}
        self._majority: dict[str, Metrics] = {}
        self.groups: dict[str, list[str]] = {}
        self.names = list(dict.fromkeys(task for name in names for task in self._expand(name)))
        self._check_data()

    @cached_property
    def _datasets(self) -> dict[str, list[str]]:
        """The datasets that each task needs, the one with its questions first."""
        configs = {name: self._config(name) for name in self.names}
        return {
            name: [config["dataset_path"], *_mapping(config.get("metadata")).get("needs", [])]
            for name, config in configs.items()
        }

    @cached_property
    def _digests(self) -> dict[str, str]:
        folders = {folder for folders in self._datasets.values() for folder in folders}
        return {folder: content_key(self.data / folder) for folder in folders}

    def _config(self, name: str) -> dict[str, Any]:
        from lmms_eval.utils import load_yaml_config

        return load_yaml_config(self._manager.task_index[name]["yaml_path"], mode="simple")

    def _expand(self, name: str) -> list[str]:
        index = self._manager.task_index
        if name not in index:
            close = difflib.get_close_matches(name, index, n=3) or sorted(index)[:20]
            raise SetupError(f"unknown task '{name}' (there are {', '.join(close)}, …)")
        if index[name]["type"] == "group":
            parts = self._config(name)["task"]
        elif index[name]["type"] == "tag":
            parts = index[name]["task"]
        else:
            return [name]
        tasks = [task for part in parts for task in self._expand(part)]
        self.groups[name] = tasks
        return tasks

    def _check_data(self) -> None:
        missing = [
            (dataset, name)
            for name in self.names
            for dataset in self._datasets[name]
            if not (folder := (self.data or Path()) / dataset).is_dir() or not any(folder.iterdir())
        ]
        if self.data is not None and missing:
            lacks = ", no ".join(f"{dataset}/ for the task {name}" for dataset, name in missing)
            raise SetupError(
                f"{self.data}: has no {lacks} "
                "(put it there as the task's README says, or choose others with --tasks)"
            )
        for dataset, name in missing:
            if dataset in _mapping(self._config(name).get("metadata")).get("not_on_hub", []):
                raise SetupError(
                    f"task {name}: {dataset} is not on the hub (get it as the task's README says and give "
                    "its folder with --data, or choose others with --tasks)"
                )

    def load(self, *, shuffled: bool) -> None:
        """Load all tasks, with their own or each other's images.

        Raises:
            SetupError: a dataset cannot be read or does not fit its task.
        """
        for name in self.names:
            self.task(name, shuffled=shuffled)

    def task(self, name: str, *, shuffled: bool) -> ConfigurableTask:
        """A loaded task."""
        if (name, shuffled) not in self._loaded:
            from tenacity import RetryError

            try:
                with self._surroundings(name, shuffled=shuffled), _one_try():
                    loaded = self._manager.load_task_or_group([self._description(name)], self.task_type)
            except RetryError as error:
                reason = error.last_attempt.exception()
                hub = "" if self.data else "see that the hub is in reach, or give the data with --data"
                raise SetupError(_failed(name, reason, remedy_for(reason, hub))) from reason
            except (OSError, SyntaxError) as error:
                # lmms-eval looks at the first document, image and all.
                raise SetupError(_failed(name, error, remedy_for(error, ""))) from error
            if self._is_ours(name):
                _check_markers(loaded[name], name)
            elif shuffled:
                exchange_task_images(loaded[name], name, self.size(name))
            self._loaded[name, shuffled] = loaded[name]
        return self._loaded[name, shuffled]

    def _description(self, name: str) -> str | dict[str, Any]:
        """What to tell lmms-eval: a name, or the name and where its data are instead."""
        folder = None if self.data is None else self.data / self._datasets[name][0]
        if folder is None or is_hub_layout(folder) or not self._is_ours(name):
            return name
        return {"task": name, **changes(folder, self._config(name)["test_split"])}

    @contextlib.contextmanager
    def _surroundings(self, name: str, *, shuffled: bool) -> Iterator[None]:
        """What surrounds a task when it is loaded and asked: whose images, and which cache of its data."""
        from lmms_eval.api.task import _resolve_hf_datasets_cache_dir as remembered_cache

        variables = {shuffle.VARIABLE: str(int(shuffled))}
        if self.data is not None and self.cache is not None:
            # `datasets` takes a local folder for unchanged as long as its relative path and README are.
            variables[DATASETS_CACHE] = str(self.cache / key_of(self.data_key(name)))
        before = {variable: os.environ.get(variable) for variable in variables}
        os.environ.update(variables)
        remembered_cache.cache_clear()
        try:
            yield
        finally:
            for variable, value in before.items():
                os.environ.pop(variable)
                if value is not None:
                    os.environ[variable] = value
            remembered_cache.cache_clear()

    def version(self, name: str) -> Any:
        """The task's version as its YAML states it."""
        return self.task(name, shuffled=False).VERSION

    def size(self, name: str) -> int:
        """Number of questions that will be asked."""
        return min(self.limit or math.inf, len(self.task(name, shuffled=False).eval_docs_no_media))

    def data_key(self, name: str) -> str:
        """Identity of a task's data: of its files where they are local, of what was downloaded where not."""
        if self.data is not None:
            return ",".join(self._digests[folder] for folder in self._datasets[name])
        return self.task(name, shuffled=False).eval_docs._fingerprint

    def ask(self, model: lmms, name: str, *, shuffled: bool) -> Outcome | None:
        """Put one task to a model, by way of lmms-eval's evaluator.

        Of several processes only the first gets an outcome.
        """
        from lmms_eval.evaluator import simple_evaluate

        task = self.task(name, shuffled=shuffled)
        # lmms-eval takes a model apart after a task; here it has more to answer.
        model.clean = lambda: None
        with self._surroundings(name, shuffled=shuffled):
            results = simple_evaluate(
                model=model,
                tasks=[task],
                limit=self.limit,
                bootstrap_iters=0,
                task_manager=self._manager,
                verbosity="WARNING",
                **_one_thread(simple_evaluate),
                # Scoring needs no images: this spares decoding each of them once more.
                cli_args=argparse.Namespace(process_with_media=False),
            )
        if results is None:
            return None
        samples = {sample["doc_id"]: sample for sample in reversed(results["samples"][name])}
        rows = [_row(task, samples[doc_id], shuffled) for doc_id in sorted(samples)]
        found = results["results"][name]
        order = [f"{metric},{each.name}" for each in task._filters for metric in task.aggregation()]
        stated = {key: found[key] for key in order if _is_number(found.get(key))}
        metrics = {key.removesuffix(",none"): float(value) for key, value in stated.items()}
        return Outcome(rows, metrics, self._errors(name, list(samples.values())))

    def _errors(self, name: str, samples: list[dict[str, Any]]) -> Metrics:
        from lmms_eval.api.metrics import mean

        totals = self.task(name, shuffled=False).aggregation()
        # Totals of other people's tasks may want more than values, and may write files.
        known = {metric: total for metric, total in totals.items() if total is mean or self._is_ours(name)}
        return standard_errors(samples, known)

    def _is_ours(self, name: str) -> bool:
        return "ndino_it" in Path(self._manager.task_index[name]["yaml_path"]).parts

    def majority(self, name: str) -> Metrics:
        """What the best constant answer scores.

        Empty for tasks that are not ours, whose scoring may want more than a text.
        """
        if name not in self._majority:
            task = self.task(name, shuffled=False)
            asked = range(self.size(name)) if self._is_ours(name) else ()
            documents = [task.eval_docs_no_media[i] for i in asked]
            targets = [task.doc_to_target(document) for document in documents]
            self._majority[name] = best_constant(targets, lambda answer: _score(task, documents, answer))
        return self._majority[name]

    def save_images(self, name: str, folder: Path) -> None:
        """Write the right images of the first questions as ``folder/DOC_ID.png``, for example cards."""
        task = self.task(name, shuffled=False)
        for doc_id in range(min(EXAMPLE_IMAGES, self.size(name))):
            with self._surroundings(name, shuffled=False):
                shown = task.doc_to_visual(task.eval_docs[doc_id])
            for image in shown[:1]:
                save_image(image, folder / f"{doc_id}.png")

    def totals(self, group: str, metrics: dict[str, Metrics]) -> Metrics:
        """A group's totals as lmms-eval takes them from its tasks' metrics; empty where it defines none."""
        from lmms_eval.api.group import ConfigurableGroup
        from lmms_eval.evaluator_utils import consolidate_group_results

        definition = ConfigurableGroup(config=self._config(group))
        if not definition.config["aggregate_metric_list"]:
            return {}
        tasks = self.groups[group]
        results: dict[str, dict[str, Any]] = {group: {}}
        for name in tasks:
            stated = {f"{metric},none": value for metric, value in metrics[name].items()}
            errors = {f"{metric}_stderr,none": "N/A" for metric in metrics[name]}
            results[name] = {"alias": name, "samples": self.size(name), **stated, **errors}
        tree = {definition: {name: self.task(name, shuffled=False) for name in tasks}}
        found = consolidate_group_results(results, {}, tree)[0][group]
        return {
            metric: float(found[f"{metric},none"])
            for metric in metrics[tasks[0]]
            if _is_number(found.get(f"{metric},none"))
        }


def _manager(names: Sequence[str]) -> TaskManager:
    import lmms_eval.tasks

    # Reading our own tasks takes milliseconds, all of lmms-eval's seconds.
    ours = Path(lmms_eval.tasks.__file__).parent / "ndino_it"
    if not ours.is_dir():
        raise SetupError("our tasks are not laid over lmms-eval (run make setup)")
    manager = lmms_eval.tasks.TaskManager("WARNING", include_path=str(ours), include_defaults=False)
    if all(name in manager.task_index for name in names):
        return manager
    return lmms_eval.tasks.TaskManager("WARNING")


@contextlib.contextmanager
def _one_try() -> Iterator[None]:
    """lmms-eval would try five times to load even a broken file; the hub's client does so itself."""
    from lmms_eval.api.task import ConfigurableTask
    from tenacity import stop_after_attempt

    retrying = ConfigurableTask.download.retry
    before, retrying.stop = retrying.stop, stop_after_attempt(1)
    try:
        yield
    finally:
        retrying.stop = before


def _failed(task: str, error: BaseException, remedy: str) -> str:
    return f"task {task}: {reason_of(error)}" + (f" ({remedy})" if remedy else "")


def _check_markers(task: ConfigurableTask, name: str) -> None:
    """Our tasks show one image; a question may say where, and otherwise it comes first."""
    for number, document in enumerate(task.eval_docs_no_media):
        if (found := task.doc_to_text(document).count(IMAGE_TOKEN)) > 1:
            raise SetupError(f"task {name} document {number}: {found} {IMAGE_TOKEN} for one image (keep one)")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def save_image(image: Image, path: Path) -> None:
    """Write an image as a PNG of at most 672 pixels a side, for example cards."""
    copy = image.copy()
    copy.thumbnail((EXAMPLE_PIXELS, EXAMPLE_PIXELS))
    with whole_file(path) as temporary:
        copy.save(temporary, "PNG")


def best_constant(targets: Sequence[Any], score: Callable[[str], Metrics]) -> Metrics:
    """What the best constant answer scores: of the ten commonest targets, the best by the first metric.

    A target is a text or a list of them; ``score`` gives what a text scores as the answer to all questions.
    """
    texts = Counter(text for target in targets for text in _texts(target))
    scores = [score(answer) for answer, _ in texts.most_common(CONSTANT_ANSWERS)]
    return max(scores, key=lambda metrics: next(iter(metrics.values())), default={})


def _texts(target: Any) -> list[str]:
    return [text for text in (target if isinstance(target, list) else [target]) if isinstance(text, str)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _score(task: ConfigurableTask, documents: Sequence[dict], answer: str) -> Metrics:
    scored = [task.process_results(document, [answer]) for document in documents]
    return {metric: float(total([s[metric] for s in scored])) for metric, total in task.aggregation().items()}


def _one_thread(simple_evaluate: Callable[..., Any]) -> dict[str, int]:
    """The option that keeps the release's scoring in one thread; the pinned commit has neither."""
    option = "process_docs_parallel"
    return {option: 1} if option in inspect.signature(simple_evaluate).parameters else {}


def _row(task: ConfigurableTask, sample: dict[str, Any], shuffled: bool) -> dict[str, Any]:
    # lmms-eval's own doc_hash is the same for every document of a task.
    content = json.dumps(sample["doc"], sort_keys=True, ensure_ascii=False, default=str)
    target = sample["target"]
    answer = sample["filtered_resps"][0]
    return {
        "doc_id": sample["doc_id"],
        "doc_hash": hashlib.sha256(content.encode()).hexdigest()[:32],
        "question": sample["arguments"][0].removesuffix(SHORT_ANSWER).removesuffix(LETTER_ANSWER),
        "target": [str(t) for t in target] if isinstance(target, list) else str(target),
        # An unpaired surrogate cannot be written as UTF-8.
        "answer": str(answer).encode(errors="replace").decode(),
        "metrics": {m: float(sample[m]) for m in task.aggregation() if _is_number(sample.get(m))},
        "shuffled": shuffled,
    }
