"""Finds lmms-eval's tasks and groups by name, reads their YAML, and loads them."""

from __future__ import annotations

import contextlib
import difflib
import json
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.errors import UsageError, UserError, reason_of, remedy_for, with_remedy
from ndino.common.files import key_of
from ndino.evaluation.errors import SetupError
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.lmms_eval_adapter.local_rows import task_of_rows
from ndino.evaluation.tasks.framework.templates import (
    TEMPLATE_CODE,
    TEMPLATES,
    languages_to_write,
    write_tasks,
)
from ndino.formats.questions.table import Questions
from ndino.languages.language import codes

if TYPE_CHECKING:
    from lmms_eval.tasks import TaskManager

# The folder in lmms-eval's `tasks/` to which `tasks_it/` is linked.
OUR_FOLDER = "ndino_it"
# That of `make setup LANGUAGES=`, with a folder for each language.
OTHER_FOLDER = "ndino_languages"
# difflib's share of equal characters from which a name counts as a misspelling. lmms-eval has over a thousand
# names: at difflib's 0.6, one of them is close to anything.
REALLY_CLOSE = 0.8


class TaskIndex:
    """lmms-eval's tasks, at least those that ``names`` need.

    Our own are read from ``tasks_it/`` itself, which fits our code also where lmms-eval is an older image's;
    set-up lays them over lmms-eval for its own command line. Those of other languages than Italian are
    written when they are named, to a temporary folder, so that they are always those of today's templates.

    Raises:
        LanguageError: the file of a language lacks what its tasks need.
    """

    def __init__(self, names: Sequence[str]) -> None:
        import lmms_eval.tasks

        # Folder of tasks -> code of their language.
        self._ours = {TEMPLATES: TEMPLATE_CODE}
        self.manager = _manager([*self._ours])
        if written := languages_to_write(names, self.manager.task_index):
            folder = Path(tempfile.mkdtemp(prefix="ndino-tasks-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._ours |= {write_tasks(code, folder / code): code for code in written}
            self.manager = _manager([*self._ours])
        if not all(name in self.manager.task_index for name in names):
            self.manager = _manager([*self._ours], others=True)
            # lmms-eval's own folders go before ours.
            theirs = Path(lmms_eval.tasks.__file__).parent
            self._ours[theirs / OUR_FOLDER] = TEMPLATE_CODE
            self._ours |= {theirs / OTHER_FOLDER / code: code for code in codes()}

    def config(self, name: str) -> dict[str, Any]:
        """The YAML of a task or group, its includes resolved; functions are not imported."""
        from lmms_eval.utils import load_yaml_config

        return load_yaml_config(self.manager.task_index[name]["yaml_path"], mode="simple")

    def metadata(self, name: str) -> dict[str, Any]:
        """The ``metadata`` of a task's YAML; empty for a task without."""
        # Some of lmms-eval's tasks have a list there.
        found = self.config(name).get("metadata")
        return found if isinstance(found, dict) else {}

    def definition(self, name: str) -> str:
        """A digest of a task's YAML, on which its results depend; not of ``origin``, which moves no score."""
        config, stated = self.config(name), self.metadata(name)
        if "origin" in stated:
            config |= {"metadata": {key: value for key, value in stated.items() if key != "origin"}}
        return key_of(json.dumps(config, sort_keys=True, default=str))

    def _full_config(self, name: str) -> dict[str, Any]:
        from lmms_eval.utils import load_yaml_config

        return load_yaml_config(self.manager.task_index[name]["yaml_path"], mode="full")

    def parts(self, name: str) -> list[str] | None:
        """The names that a group or tag consists of; None for a task.

        Raises:
            SetupError: there is no such task, group or tag.
        """
        index = self.manager.task_index
        if name not in index:
            close = difflib.get_close_matches(name, index, n=3, cutoff=REALLY_CLOSE)
            meant = f"{' or '.join(close)}; otherwise " if close else ""
            known = f"{meant}one of {', '.join(self._our_names())}, or a task of lmms-eval"
            raise UsageError(f"unknown task '{name}' (remedy: {known})")
        if index[name]["type"] == "group":
            return self.config(name)["task"]
        return index[name]["task"] if index[name]["type"] == "tag" else None

    def _our_names(self) -> list[str]:
        """Our groups, then our tasks; not the many that set-up laid over lmms-eval in other languages."""
        index = self.manager.task_index
        ours = (name for name in index if self.is_ours(name) and OTHER_FOLDER not in self._path(name).parts)
        return sorted(ours, key=lambda name: (index[name]["type"] != "group", name))

    def is_ours(self, name: str) -> bool:
        """Whether a task or group is one of ours, in whatever language."""
        return self.code(name) is not None

    def code(self, name: str) -> str | None:
        """The code of the language of a task or group of ours; None for other people's."""
        above = self._path(name).parents
        return next((code for folder, code in self._ours.items() if folder in above), None)

    def _path(self, name: str) -> Path:
        # A tag has -1 for a path.
        return Path(str(self.manager.task_index[name]["yaml_path"]))

    def load(self, name: str, *, task_type: Any, rows: Questions | None = None, remedy: str) -> LoadedTask:
        """Load a task with its data; call it within `surroundings.task_environment`.

        Args:
            task_type: lmms-eval's name for the model's interface, ``simple`` or ``chat``.
            rows: what the test split of one of our tasks holds; None where lmms-eval reads it.
            remedy: what the user can do where the data cannot be read, unless the system's error says more.

        Raises:
            SetupError: the data cannot be read or do not fit the task.
        """
        from tenacity import RetryError

        try:
            if rows is not None:
                return LoadedTask(
                    name, task_of_rows(self._full_config(name), rows, task_type), self.code(name)
                )
            with _one_try():
                loaded = self.manager.load_task_or_group([name], task_type)
        except RetryError as error:
            reason = error.last_attempt.exception() or error
            raise SetupError(_failed(name, reason, remedy)) from reason
        except UserError as error:
            raise SetupError(f"task {name}: {error}") from error
        except (OSError, SyntaxError) as error:
            # lmms-eval reads the first document when it loads a task, image and all.
            raise SetupError(_failed(name, error, remedy)) from error
        return LoadedTask(name, loaded[name], self.code(name))


def _failed(task: str, error: BaseException, remedy: str) -> str:
    return with_remedy(f"task {task}: {reason_of(error)}", remedy_for(error, remedy))


def _manager(ours: Sequence[Path], *, others: bool = False) -> TaskManager:
    """An index of the tasks in our folders and, with ``others``, of all of lmms-eval's."""
    import lmms_eval.tasks
    from loguru import logger

    # Indexing our own tasks takes milliseconds, all of lmms-eval's seconds.
    folders = list(map(str, ours))
    # It logs each file of its folders that is not a task, whatever verbosity it is given.
    logger.disable("lmms_eval.tasks")
    try:
        return lmms_eval.tasks.TaskManager("WARNING", include_path=folders, include_defaults=others)
    finally:
        logger.enable("lmms_eval.tasks")


@contextlib.contextmanager
def _one_try() -> Iterator[None]:
    # lmms-eval tries five times to load even a broken file. The hub's client retries downloads by itself.
    from lmms_eval.api.task import ConfigurableTask
    from tenacity import stop_after_attempt

    retrying = ConfigurableTask.download.retry
    before, retrying.stop = retrying.stop, stop_after_attempt(1)
    try:
        yield
    finally:
        retrying.stop = before
