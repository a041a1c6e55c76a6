"""Which tasks stand together in a table, and in which order: the paper's tables first.

Tasks whose texts were written in the language and tasks whose texts were translated into it never share one,
and there is no mean over tasks: translated benchmarks say little about native ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ndino.languages.language import code_of_task, language
from ndino.results.table_data import Summary

# The paper's benchmarks, whose tasks have a language's code behind the name: gqa-it.
TRANSLATED = ("gqa", "ok-vqa", "seedbench", "pope")
NATIVE = ("mtvqa", "exams-v")
OTHER_TASKS = "Other tasks"
PERPLEXITY_SETS = ("llava-bench", "mtvqa")


@dataclass(frozen=True)
class TaskGroup:
    """Tasks whose scores are one table; those of the paper's tables are its benchmarks in one language."""

    key: str
    title: str
    tasks: tuple[str, ...]


def score_groups(summary: Summary) -> list[TaskGroup]:
    """All groups of the run but `other_groups`: the paper's, then further ones by language and origin."""
    return [*_paper_groups(summary), *_further_groups(summary)]


def other_groups(summary: Summary) -> list[TaskGroup]:
    """The run's tasks of which nothing says whether they are native or translated."""
    placed = {task for group in score_groups(summary) for task in group.tasks}
    rest = [task for task in tasks_in_order(summary) if task not in placed]
    return [TaskGroup("others", OTHER_TASKS, tuple(rest))] if rest else []


def _further_groups(summary: Summary) -> list[TaskGroup]:
    papers = {task for group in _paper_groups(summary) for task in group.tasks}
    found = [task for task in tasks_in_order(summary) if task not in papers]
    origins = {
        task: entry["origin"] for entries in summary["models"].values() for task, entry in entries.items()
    }
    codes = _codes(found)
    groups = []
    for code in codes:
        name, several = language(code).name, len(_codes(_tasks(summary))) > 1
        titles = {
            "translated": "Further translated benchmarks" + f", {name}" * several,
            "native": f"Further native {name} benchmarks",
        }
        for origin, title in titles.items():
            tasks = [task for task in found if code_of_task(task) == code and origins[task] == origin]
            if tasks:
                groups.append(TaskGroup(f"{origin}{f'-{code}' * several}", title, tuple(tasks)))
    return groups


def _paper_groups(summary: Summary) -> list[TaskGroup]:
    """The paper's tables for each language of the run, whose name tells those of several languages apart."""
    found = _tasks(summary)
    codes = [code for code in _codes(found) if not found.isdisjoint(_in_language(TRANSLATED + NATIVE, code))]
    tables = []
    for code in codes:
        name, several = language(code).name, len(codes) > 1
        which = f"-{code}" * several
        translated = "Table 5: translated benchmarks" + f", {name}" * several
        tables += [
            TaskGroup(f"table-5{which}", translated, _in_language(TRANSLATED, code)),
            TaskGroup(f"table-6{which}", f"Table 6: native {name} benchmarks", _in_language(NATIVE, code)),
        ]
    return tables


def _in_language(benchmarks: Iterable[str], code: str) -> tuple[str, ...]:
    return tuple(f"{name}-{code}" for name in benchmarks)


def _tasks(summary: Summary) -> set[str]:
    return {task for entries in summary["models"].values() for task in entries}


def _codes(names: Iterable[str]) -> list[str]:
    return sorted({code for name in names if (code := code_of_task(name))})


def _by_language(name: str) -> tuple[str, str]:
    return code_of_task(name) or "", name


def tasks_in_order(summary: Summary) -> list[str]:
    """All tasks of the run: the paper's in its order, by language, then the others by name.

    With several languages, the others are sorted by language, too.
    """
    found = _tasks(summary)
    first = [task for group in _paper_groups(summary) for task in group.tasks if task in found]
    return first + sorted(found - {*first}, key=_by_language if len(_codes(found)) > 1 else None)


def perplexity_sets(summary: Summary) -> list[str]:
    """All answer sets with a perplexity: the paper's in its order, by language, then the others by name."""
    found = {name for entries in summary["perplexity"].values() for name in entries}
    first = [name for code in _codes(found) for name in _in_language(PERPLEXITY_SETS, code) if name in found]
    return first + sorted(found - {*first})
