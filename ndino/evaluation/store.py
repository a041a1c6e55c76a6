"""The folder that keeps one model's results: a log for each task, and ``results.json``.

Everything is written under another name first and then renamed, so a killed run leaves whole files only, and
the next one goes on with the task that was not finished; its answers are in `ndino.evaluation.answer_store`.
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
    """Keep other runs out of ``folder``: each would write its ``results.json`` without what others have done.

    Raises:
        SetupError: another run is at work there, or nothing can be written there.
    """
    lock = folder.parent / ".cache" / f"{folder.name}.lock"
    busy = f"{folder}: another run is at work here (wait for it, or choose another --name or --out)"
    with contextlib.ExitStack() as held:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusive_lock(lock, busy))
        except BusyError as error:
            raise SetupError(str(error)) from error
        except OSError as error:
            raise SetupError(
                f"{folder}: cannot be written: {error.strerror} (choose another --out)"
            ) from error
        yield


class Store:
    """Results of one model under ``folder``.

    Raises:
        SetupError: the folder holds results of another model, or is not readable.
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
            raise SetupError(f"{self._results_path}: broken, {error!r} (remove it to go on)") from error
        if same_weights:
            self.results.update(tasks=found["tasks"], groups=found.get("groups", {}))
        elif same_source:
            # Trained on since: the old answers are not this model's.
            for task in found["tasks"]:
                self._log(task, True).unlink(missing_ok=True)
                self._log(task, False).unlink(missing_ok=True)
            self._write()
        else:
            raise SetupError(
                f"{folder}: holds results of {found['source']}, which has other weights "
                "(choose another --name or --out, or remove that folder)"
            )

    def _log(self, task: str, shuffled: bool) -> Path:
        return self.folder / f"{task}{'.shuffled' if shuffled else ''}.jsonl"

    def _write(self) -> None:
        write_json(self._results_path, self.results)

    def done(self, task: str, key: str, *, shuffled: bool) -> bool:
        """Whether this task's answers are there, given by the same model to the same questions."""
        entry = self.results["tasks"].get(task, {})
        finished = entry.get("key") == key and self._log(task, shuffled).exists()
        return finished and (not shuffled or bool(entry["shuffled"]))

    def rows(self, task: str, *, shuffled: bool) -> list[dict[str, Any]]:
        """A finished task's log."""
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
        """Keep a finished task; ``more`` goes into its entry. Right images come before shuffled ones."""
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
        """Keep the totals of a group of tasks."""
        self.results["groups"][group] = dict(metrics)
        self._write()
