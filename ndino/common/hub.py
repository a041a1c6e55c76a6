"""What is asked of the Hugging Face hub, and what its client says when it fails, in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ndino.common.errors import SHOWN_REASON, UsageError, reason_of, shown

PROBE_SECONDS = 10
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def hub_reason(error: BaseException) -> str:
    """Why the hub's client failed: the system's refusal, or the first line of what it says.

    Its errors have no common base class but ``Exception``: they are those of the HTTP client that the
    installed version uses (httpx or httpx2), and its own.
    """
    if isinstance(error, OSError) and error.errno:
        return reason_of(error)
    # The lines after the first are general advice.
    first = (str(error).strip() or type(error).__name__).splitlines()[0].strip()
    return shown(first.removeprefix("Got: "), SHOWN_REASON)


def may_be_on_hub(source: str) -> bool:
    """Whether ``source`` is no path here, and has the form of a name on the hub, ``owner/name``."""
    return (
        bool(HUB_ID.fullmatch(source))
        and not Path(source).exists()
        and source.split("/")[0] not in (".", "..")
    )


def model_from_hub(name: str, patterns: Sequence[str], remedy: str) -> Path:
    """The folder with a model's files that match ``patterns``, downloaded if they are not in the cache.

    Raises:
        UsageError: the hub has no such model, or does not answer; ends with ``remedy``.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # see `hub_reason`
        raise UsageError(
            f"{name}: no such folder, nor on the hub: {hub_reason(error)} (remedy: {remedy})"
        ) from error


def require_dataset(name: str) -> None:
    """Ask the hub once whether it has a data set.

    Its client lists files with five retries, printed one by one over half a minute, which would hide that
    a name is wrong or that there is no network.

    Raises:
        Exception: it has not, or it does not answer; see `hub_reason`.
    """
    from huggingface_hub import HfApi

    HfApi().dataset_info(name, timeout=PROBE_SECONDS)
