"""Process-wide state that lmms-eval and its libraries read: working directory, environment, logs."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from ndino.common.images import set_reading_rules
from ndino.evaluation import shuffle

# lmms-eval's variable for the folder in which `datasets` caches what it has read.
DATASETS_CACHE = "LMMS_EVAL_DATASETS_CACHE"


def set_library_environment() -> None:
    """Switch off the progress bars of ``datasets``; call it before the first import of lmms-eval.

    The libraries read their variables when they are imported.
    """
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


def go_offline() -> None:
    """Keep the hub's client from opening connections; call it before the first import of lmms-eval."""
    os.environ["HF_HUB_OFFLINE"] = "1"


@contextlib.contextmanager
def working_directory(folder: Path | None) -> Iterator[None]:
    """Work in ``folder``, where ``datasets`` looks before it asks the hub; None changes nothing."""
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def task_environment(*, shuffled: int, cache: Path | None) -> Iterator[None]:
    """What a task reads from the environment while it is loaded and evaluated.

    Args:
        shuffled: which exchange of their images our tasks make, see `shuffle.py`; 0 for none.
        cache: where ``datasets`` caches; None for its default. It must be a folder per content of the
            data, since ``datasets`` takes a local folder for unchanged as long as its relative path and its
            README are.
    """
    from lmms_eval.api.task import _resolve_hf_datasets_cache_dir as remembered_cache

    variables = {shuffle.VARIABLE: str(int(shuffled))}
    if cache is not None:
        variables[DATASETS_CACHE] = str(cache)
    before = {variable: os.environ.get(variable) for variable in variables}
    os.environ.update(variables)
    # lmms-eval reads the variable once per process and remembers the result.
    remembered_cache.cache_clear()
    # By now lmms-eval is imported, which lets truncated images pass.
    set_reading_rules()
    try:
        yield
    finally:
        for variable, value in before.items():
            os.environ.pop(variable)
            if value is not None:
                os.environ[variable] = value
        remembered_cache.cache_clear()


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Swallow progress bars and logs of lmms-eval and its libraries; errors still come as exceptions."""
    import huggingface_hub.utils.logging
    import transformers.utils.logging

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    huggingface_hub.utils.logging.set_verbosity_error()
    with contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def logged_errors() -> Iterator[list[str]]:
    """Collect the errors that lmms-eval logs meanwhile; its wrappers log an error in place of an answer."""
    # Importing the evaluator removes all sinks, so this import must come before ours is added.
    import lmms_eval.evaluator  # noqa: F401
    from loguru import logger

    messages: list[str] = []
    sink = logger.add(lambda message: messages.append(message.record["message"]), level="ERROR")
    try:
        yield messages
    finally:
        logger.remove(sink)
