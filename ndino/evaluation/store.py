"""The folder of one model's results: a log for each task, and ``results.json``.

All writes are atomic, so a killed run leaves complete files only. Rerun to resume with the task that was not
finished; the answers to it so far are in `ndino.evaluation.answer_store`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ndino.common.files import write_json, write_text
from ndino.common.locks import BusyError, exclusive_lock
from ndino.common.parsing import parse_json, read_json
from ndino.evaluation.controls import RIGHT, SHUFFLED, controls_among, log_name
from ndino.evaluation.errors import SetupError
from ndino.evaluation.models import Model
from ndino.evaluation.provenance import Depends, result_key, what_changed

Row = Mapping[str, Any]


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Lock ``folder`` against other runs: each would overwrite the other's part of ``results.json``.

    Raises:
        SetupError: another run holds the lock, or the folder cannot be written.
    """
    lock = folder.parent / ".cache" / f"{folder.name}.lock"
    busy = f"{folder}: another run is at work here (remedy: wait for it, or choose another --name or --out)"
    with contextlib.ExitStack() as held:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusive_lock(lock, busy))
        except BusyError as error:
            raise SetupError(str(error)) from error
        except OSError as error:
            raise SetupError(
                f"{folder}: cannot be written: {error.strerror} (remedy: choose another --out)"
            ) from error
        yield


class ResultsStore:
    """Results of one model under ``folder``.

    Where the model has changed, its old results stay, stale, until each is made again.

    Another command may add results of its own. Their entries have ``renewed_by``, that command, and those
    that were taken from a task's rows also ``part_of``, the task.

    Raises:
        SetupError: the folder holds another model's results, or ``results.json`` is broken.
    """

    def __init__(self, folder: Path, model: Model) -> None:
        self.folder = folder
        self._results_path = folder / "results.json"
        self.results: dict[str, Any] = {
            "model": model.name,
            "source": model.source,
            "fingerprint": model.fingerprint,
            "tasks": {},
            "groups": {},
        }
        if not self._results_path.exists():
            return
        try:
            found = read_json(self._results_path)
            same_weights, same_source = (found[k] == self.results[k] for k in ("fingerprint", "source"))
            # Earlier versions took the fingerprint of large weights in another way.
            known = all("depends" in entry for entry in found["tasks"].values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SetupError(
                f"{self._results_path}: broken, {error!r} (remedy: remove it and rerun)"
            ) from error
        if same_weights or same_source:
            # A model that was trained further: each entry states the weights that it was made with.
            self.results.update(tasks=found["tasks"], groups=found.get("groups", {}))
        else:
            has = "which has other weights" if known else "which may have other weights"
            raise SetupError(
                f"{folder}: holds results of {found['source']}, {has} "
                "(remedy: choose another --name or --out, or remove that folder)"
            )

    @classmethod
    def of(cls, folder: Path) -> ResultsStore:
        """The results that a folder holds, whatever their model's files are now; raises as for any model."""
        path = folder / "results.json"
        try:
            found = read_json(path)
            model = Model(found["model"], found["source"], found["source"], found["fingerprint"])
        except (ValueError, KeyError, TypeError) as error:
            raise SetupError(f"{path}: broken, {error!r} (remedy: remove it and rerun)") from error
        return cls(folder, model)

    def _log(self, task: str, control: str = RIGHT) -> Path:
        return self.folder / log_name(task, control)

    def _write(self) -> None:
        write_json(self._results_path, self.results)

    def done(self, task: str, depends: Depends, control: str = RIGHT) -> bool:
        """Whether a task, or a control of it, is finished, and depends on the same as it would today."""
        entry = self.results["tasks"].get(task, {})
        finished = entry.get("key") == result_key(depends) and self._log(task, control).exists()
        return finished and (not control or control in self.controls(task))

    def controls(self, task: str) -> dict[str, dict[str, float]]:
        """The metrics of each finished control of a task, by name."""
        return _controls(self.results["tasks"].get(task, {}))

    def changed(
        self, task: str, depends: Depends, difference: Callable[[Sequence[Row]], str] = lambda rows: ""
    ) -> str | None:
        """What has changed since this task was finished; None where it is not, or nothing has.

        Args:
            difference: says what of the task's data differs from a log.
        """
        entry = self.results["tasks"].get(task)
        if entry is None or entry.get("key") == result_key(depends):
            return None
        logged = self._log(task).exists()
        return what_changed(
            entry.get("depends"), depends, lambda: difference(self.rows(task)) if logged else ""
        )

    def require_unmixed(self, answers: Mapping[str, Any], asked: Collection[str]) -> None:
        """Check that the results of tasks that are not asked now were made as those will be.

        Args:
            answers: what today's answers depend on, see `provenance.py`.

        Raises:
            SetupError: a task's answers depend on something else; one folder would hold both.
        """
        mixed: dict[tuple[str, str], list[str]] = {}
        for task, entry in self.results["tasks"].items():
            before = entry.get("depends")
            kept = task not in asked and entry.get("part_of") not in asked
            if kept and (before is None or before["answers"] != answers):
                now = {"answers": answers, "task": before["task"] if before else {}}
                renew = "evaluate them too with --tasks"
                if "renewed_by" in entry:
                    renew = f"renew them with {entry['renewed_by']}"
                mixed.setdefault((what_changed(before, now), renew), []).append(task)
        for (reason, renew), tasks in mixed.items():
            raise SetupError(
                f"{self.folder}: also holds {', '.join(tasks)}, whose results are stale: {reason} "
                f"(remedy: {renew}, choose another --out, or remove that folder)"
            )

    def rows(self, task: str, control: str = RIGHT) -> list[dict[str, Any]]:
        """The rows of the log of a finished task, or of a control of it."""
        return [parse_json(line) for line in self._log(task, control).read_bytes().splitlines()]

    def save(
        self,
        task: str,
        depends: Depends,
        rows: Iterable[Row],
        metrics: Mapping[str, float],
        *,
        controls: Mapping[str, tuple[Iterable[Row], Mapping[str, float]]] | None = None,
        **more: Any,
    ) -> None:
        """Write a finished task's log and its entry in ``results.json``, to which ``more`` is added.

        Older controls of the task are removed then, except ``controls``, which are written with it. Totals of
        groups are removed when the task's scores change, or what the answers depend on; parts of the task
        when anything does that it depends on.

        ``scored`` in the entry is how many rows the first metric stands in, if not in all: some, such as
        ``circular``, are of questions that several rows ask.
        """
        rows, primary = [*rows], next(iter(metrics), None)
        scored = sum(primary in row["metrics"] for row in rows)
        lines = _lines(rows)
        entry = {
            **more,
            "n": len(lines),
            **({"scored": scored} if 0 < scored < len(lines) else {}),
            "metrics": dict(metrics),
            "shuffled": {},
            "key": result_key(depends),
            "depends": depends,
        }
        for control, (shown, scores) in (controls or {}).items():
            write_text(self._log(task, control), "".join(_lines(shown)))
            entry = _with_control(entry, control, scores)
        write_text(self._log(task), "".join(lines))
        before = self.results["tasks"].get(task)
        self.results["tasks"][task] = entry
        if before is not None and _scored_otherwise(before, entry):
            self.results["groups"] = {}
        parts = [name for name, other in self.results["tasks"].items() if other.get("part_of") == task]
        gone = parts if before is not None and before.get("key") != entry["key"] else []
        for name in gone:
            del self.results["tasks"][name]
        self._write()
        for name in (task, *gone):
            held = _controls(self.results["tasks"].get(name, {}))
            for control in controls_among((path.name for path in self.folder.iterdir()), name):
                if control not in held:
                    self._log(name, control).unlink(missing_ok=True)
            if name in gone:
                self._log(name).unlink(missing_ok=True)

    def save_control(
        self, task: str, control: str, rows: Iterable[Row], metrics: Mapping[str, float]
    ) -> None:
        """Write the log of a control of a finished task, and its scores beside the task's."""
        write_text(self._log(task, control), "".join(_lines(rows)))
        self.results["tasks"][task] = _with_control(self.results["tasks"][task], control, metrics)
        self._write()

    def save_origins(self, origins: Mapping[str, str | None]) -> None:
        """State whether finished tasks are native or translated, which an earlier version did not."""
        entries = self.results["tasks"]
        late = [task for task, origin in origins.items() if entries[task].get("origin") != origin]
        if late:
            entries |= {task: {**entries[task], "origin": origins[task]} for task in late}
            self._write()

    def save_group(self, group: str, metrics: Mapping[str, float]) -> None:
        """Write the totals of a group of tasks."""
        self.results["groups"][group] = dict(metrics)
        self._write()


def _lines(rows: Iterable[Row]) -> list[str]:
    return [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]


def _controls(entry: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The metrics of a task's controls by name, as its entry states them; none where one is unfinished."""
    first = {SHUFFLED: entry["shuffled"]} if entry.get("shuffled") else {}
    return {**first, **entry.get("controls", {})}


def _with_control(entry: dict[str, Any], control: str, metrics: Mapping[str, float]) -> dict[str, Any]:
    # The first exchange has a place of its own, as in earlier versions.
    if control == SHUFFLED:
        return {**entry, "shuffled": dict(metrics)}
    return {**entry, "controls": {**entry.get("controls", {}), control: dict(metrics)}}


def _scored_otherwise(before: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    answers = [(each.get("depends") or {}).get("answers") for each in (before, entry)]
    return answers[0] != answers[1] or before["metrics"] != entry["metrics"]
