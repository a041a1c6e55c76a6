"""One of our tasks with rows that we have read, where lmms-eval would read them with `datasets`."""

from __future__ import annotations

from typing import Any

from ndino.formats.questions.rows import IMAGE
from ndino.formats.questions.table import Questions


def task_of_rows(config: dict[str, Any], rows: Questions, task_type: str) -> Any:
    """lmms-eval's task of a YAML, its test split being what ``process_docs`` makes of ``rows``.

    Args:
        config: the YAML with its functions.
        task_type: ``simple`` or ``chat``.

    Raises:
        UserError: the rows do not fit the task.
    """
    from lmms_eval.api.task import ConfigurableMessagesTask, ConfigurableTask

    kind: Any = ConfigurableMessagesTask if task_type == "chat" else ConfigurableTask

    class TaskOfRows(kind):
        def download(self, dataset_kwargs: Any = None) -> None:
            prepared = self.config.process_docs(rows)
            self.dataset = {self.config.test_split: prepared}
            self.dataset_no_image = {self.config.test_split: prepared.remove_columns(IMAGE)}

    return TaskOfRows(config=config)
