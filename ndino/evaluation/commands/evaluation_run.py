"""One call of ``ndino evaluate``, and what of it is finished, stale or to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.controls import BLANK, RIGHT, shuffle_number
from ndino.evaluation.models import Backend, Model
from ndino.evaluation.processes import Processes
from ndino.evaluation.provenance import answers_depend_on
from ndino.evaluation.store import ResultsStore


@dataclass
class EvaluationRun:
    """One call of the command: models, tasks, where results go, and what there is to say so far."""

    models: list[Model]
    stores: dict[str, ResultsStore]
    benchmarks: Benchmarks
    backend: Backend
    wrapper: str
    batch: int | None
    controls: Sequence[str]
    out: Path
    processes: Processes
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def first(self) -> bool:
        """Whether this process writes the results; only the first of several does."""
        return self.processes.rank == 0

    def depends(self, model: Model, task: str) -> dict[str, Any]:
        """Everything that this model's result on this task depends on."""
        return {"answers": self.answers_depend_on(model), "task": self.benchmarks.depends(task)}

    def answers_depend_on(self, model: Model) -> dict[str, Any]:
        """Everything that this model's answers depend on, besides the questions."""
        return self._answers[model.name]

    @cached_property
    def _answers(self) -> dict[str, dict[str, Any]]:
        return {model.name: answers_depend_on(model, self.backend, self.wrapper) for model in self.models}

    def pending(self, model: Model) -> list[tuple[str, str]]:
        """The pairs (task, control) that are not finished, a task's own questions before its controls."""
        store = self.stores[model.name]
        depends = {task: self.depends(model, task) for task in self.benchmarks.names}
        return [
            (task, control)
            for task in self.benchmarks.names
            for control in (RIGHT, *self.controls)
            if not store.done(task, depends[task], control)
        ]

    def current(self, model: Model) -> dict[str, dict[str, Any]]:
        """The entries of today's results, by task; stale ones, of tasks that failed again, are left out."""
        store = self.stores[model.name]
        return {
            task: store.results["tasks"][task]
            for task in self.benchmarks.names
            if store.done(task, self.depends(model, task))
        }

    def stale(self, model: Model) -> Iterator[str]:
        """A line for each reason why finished tasks are asked again."""
        store = self.stores[model.name]
        tasks: dict[tuple[str, str], list[str]] = {}
        for task in self.benchmarks.names:
            difference = partial(self.benchmarks.difference, task)
            if (reason := store.changed(task, self.depends(model, task), difference)) is not None:
                tasks.setdefault((reason, self._lost_controls(store, task)), []).append(task)
        for (reason, lost), names in tasks.items():
            made_again = f"{', '.join(names)}: stale and made again, since this changed: {reason}"
            yield f"{store.folder}: {made_again}{lost}"

    def _lost_controls(self, store: ResultsStore, task: str) -> str:
        """Which finished controls of a task are removed with it and not asked again, and how to ask them."""
        finished = store.controls(task)
        lost = [control for control in finished if control not in self.controls]
        if not lost:
            return ""
        shuffles = max(map(shuffle_number, (*finished, *self.controls)))
        blank = BLANK in (*finished, *self.controls)
        flags = [f"--shuffle {shuffles}" if shuffles > 1 else "--shuffle"] * bool(shuffles)
        again = " ".join(flags + ["--blank"] * blank)
        return f"; its controls {', '.join(lost)} are removed ({again} asks them again)"
