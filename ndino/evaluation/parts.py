"""Which part of a benchmark a question is in, such as POPE's categories: for scores by part in the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def parts_of(document: Mapping[str, Any], columns: Iterable[str]) -> dict[str, str]:
    """The document's value in each of these columns that it has, as text; others are left out.

    Args:
        columns: of the task's YAML (``metadata``, ``parts``). ``a.b`` is the field ``b`` of the column ``a``.
    """
    found = {column: _value(document, column.split(".")) for column in columns}
    return {
        column.rpartition(".")[2]: str(value)
        for column, value in found.items()
        if isinstance(value, (str, int)) and str(value).strip()
    }


def _value(document: Any, path: list[str]) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document
