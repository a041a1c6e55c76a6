"""The folder of one model's results: a log for each task, and ``results.json``.

All writes are atomic, so a killed run leaves complete files only. Rerun to resume with the task that was not
finished; the answers to it so far are in `ndino.evaluation.answer_store`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ndino.common.files import write_json, write_text
from ndino.common.locks import BusyError, exclusive_lock
from ndino.evaluation.errors import SetupError
from ndino.evaluation.models import Model

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
            found = json.loads(self._results_path.read_text(encoding="utf-8"))
            same_weights, same_source = (found[k] == self.results[k] for k in ("fingerprint", "source"))
        except (ValueError, KeyError, TypeError) as error:
            raise SetupError(
                f"{self._results_path}: broken, {error!r} (remedy: remove it and rerun)"
            ) from error
        if same_weights:
            self.results.update(tasks=found["tasks"], groups=found.get("groups", {}))
        elif same_source:
            # The model was trained further, so the old answers are not its own.
            for task in found["tasks"]:
                self._log(task, True).unlink(missing_ok=True)
                self._log(task, False).unlink(missing_ok=True)
            self._write()
        else:
            raise SetupError(
                f"{folder}: holds results of {found['source']}, which has other weights "
                "(remedy: choose another --name or --out, or remove that folder)"
            )

    def _log(self, task: str, shuffled: bool) -> Path:
        return self.folder / f"{task}{'.shuffled' if shuffled else ''}.jsonl"

    def _write(self) -> None:
        write_json(self._results_path, self.results)

    def done(self, task: str, key: str, *, shuffled: bool) -> bool:
        """Whether this task is finished, by the same model and with the same questions (equal ``key``)."""
        entry = self.results["tasks"].get(task, {})
        finished = entry.get("key") == key and self._log(task, shuffled).exists()
        return finished and (not shuffled or bool(entry["shuffled"]))

    def rows(self, task: str, *, shuffled: bool) -> list[dict[str, Any]]:
        """The rows of a finished task's log."""
        return [json.loads(line) for line in self._log(task, shuffled).read_bytes().splitlines()]

    def save(
        self,
        task: str,
        key: str,
        rows: Iterable[Row],
        metrics: Mapping[str, float],
        *,
        shuffled: bool,
        **more: Any,
    ) -> None:
        """Write a finished task's log and its entry in ``results.json``, to which ``more`` is added.

        Results with right images come first; saving them removes older ones with shuffled images.
        """
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        if shuffled:
            entry = {**self.results["tasks"][task], "shuffled": dict(metrics)}
        else:
            entry = {**more, "n": len(lines), "metrics": dict(metrics), "shuffled": {}, "key": key}
            self._log(task, True).unlink(missing_ok=True)
        write_text(self._log(task, shuffled), "".join(lines))
        self.results["tasks"][task] = entry
        self._write()

    def save_group(self, group: str, metrics: Mapping[str, float]) -> None:
        """Write the totals of a group of tasks."""
        self.results["groups"][group] = dict(metrics)
        self._write()
