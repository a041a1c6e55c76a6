"""On what a family's models are scored in its languages."""

from __future__ import annotations

from collections.abc import Sequence

from ndino.evaluation.perplexity.language_sets import sets_of_language
from ndino.evaluation.tasks.framework.instructions import require_tasks
from ndino.evaluation.tasks.framework.templates import TEMPLATE_CODE
from ndino.formats.family import Family


def languages_of(family: Family, chosen: Sequence[str] | None) -> tuple[str, ...]:
    """The codes of the languages: those ``chosen``, else the family's, else Italian's.

    Raises:
        LanguageError: one has no file, or its file lacks what the tasks need.
    """
    codes = tuple(chosen or family.languages or (TEMPLATE_CODE,))
    for code in codes:
        require_tasks(code)
    return codes


def task_groups(codes: Sequence[str]) -> list[str]:
    """The group of all tasks of each language."""
    return [f"ndino-{code}" for code in codes]


def perplexity_sets(codes: Sequence[str]) -> list[str]:
    """The sets of answers in each language, as ``NAME=DATASET``."""
    return [f"{name}={dataset}" for code in codes for name, dataset in sets_of_language(code).items()]


def how_to_make(codes: Sequence[str]) -> list[str]:
    """A line for each language whose benchmarks are not on the hub."""
    return [
        f"not on the hub: the benchmarks of ndino-{code}; ndino data benchmarks --lang {code} and "
        f"ndino data native SET --lang {code} make them"
        for code in codes
        if code != TEMPLATE_CODE
    ]
