"""What can be said of a task's data before a model is loaded: they are there, and in the right language."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError, UserError
from ndino.evaluation.errors import SetupError
from ndino.evaluation.tasks.framework.templates import TEMPLATE_CODE
from ndino.formats.questions.layout import splits_of
from ndino.languages.identify import LEAST_LETTERS, label_of, most_probable, rival_of
from ndino.languages.known.locales import locale_of
from ndino.languages.language import LanguageError, codes, language, written_fields

# Different questions that are judged together: a short one alone says too little, and many are names.
QUESTIONS = 200
# From so many letters in them on, another language must be so many times as probable; below, nothing is said.
# Of 2,400 short sets of questions in eight languages, one of the same language never came above 1.5 times.
ODDS = ((200, 1e6), (LEAST_LETTERS, 1e3))


# What the data commands write in other languages though it is not on the hub in Italian.
WRITTEN = "crux82/gqa-"


@dataclass(frozen=True)
class NeededDataset:
    """A dataset of a task.

    Attributes:
        dataset: its name on the hub, and its folder under the data folder.
        code: of the language of one of our tasks; None for other people's.
        on_hub: whether it can be downloaded from there.
        from_commands: whether the data commands write it in other languages than Italian.
        optional: whether a group does without the task where the dataset is not there.
        split: of a set that holds several languages, the split that the task asks for; None for others.
    """

    dataset: str
    task: str
    code: str | None
    on_hub: bool
    from_commands: bool = True
    optional: bool = False
    split: str | None = None

    @classmethod
    def of(
        cls, dataset: str, task: str, code: str | None, stated: Mapping[str, Any], split: str | None
    ) -> NeededDataset:
        """A dataset of a task, with the ``metadata`` that its YAML has stated and the split that it reads."""
        on_hub, optional = dataset not in stated.get("not_on_hub", []), bool(stated.get("optional"))
        one = cls(dataset, task, code, on_hub, optional=optional)
        if not one.made:
            return one
        # A set of several languages has none in its name, and is where it is for all of them.
        named = code is not None and _stem(dataset, code) is not None
        return replace(
            one,
            on_hub=on_hub and not named,
            from_commands=named and (on_hub or dataset.startswith(WRITTEN)),
            optional=True,
            split=None if named else split,
        )

    def is_in(self, folder: Path) -> bool:
        """Whether a data folder has it; what cannot be read is there, and reading it says why."""
        path = folder / self.dataset
        if not path.is_dir() or not any(path.iterdir()):
            return False
        try:
            return self.split is None or bool({self.split, None} & {*splits_of(path)})
        except (UserError, OSError):
            return True

    def __str__(self) -> str:
        return f"{self.dataset}/" + (f" with a split {self.split}" if self.split else "")

    @property
    def made(self) -> bool:
        """Whether the data commands make it: those of other languages than Italian are not published."""
        return self.code not in (None, TEMPLATE_CODE)

    @property
    def remedy(self) -> str:
        """How to get it."""
        if not (self.made and self.from_commands):
            return "as the task's README says"
        return f"with ndino data benchmarks --lang {self.code}, or ndino data native SET --lang {self.code}"


def missing_datasets(needed: Iterable[NeededDataset], folder: Path) -> list[NeededDataset]:
    """Those that have no folder there, or an empty one, or not their split."""
    return [one for one in needed if not one.is_in(folder)]


def require_in_folder(missing: Sequence[NeededDataset], folder: Path) -> None:
    """Refuse what is missing in a data folder; SetupError names it."""
    if not missing:
        return
    absent, empty = [], []
    for one in missing:
        path = folder / one.dataset
        found = empty if path.is_dir() and not any(path.iterdir()) else absent
        found.append(f"{one} for the task {one.task}")
    lacks = "; ".join(
        ([f"has no {', no '.join(absent)}"] if absent else [])
        + ([f"holds an empty folder {', '.join(empty)}"] if empty else [])
    )
    remedy = f"put it there {missing[0].remedy}, or choose others with --tasks"
    if there := _languages_of(missing, folder):
        lacks += f"; it has data in {', '.join(map(_name, there))}"
        remedy = f"--lang {','.join(there)} for what is there (LANGUAGE= of make); else {remedy}"
    raise SetupError(f"{folder}: {lacks} (remedy: {remedy})")


def _languages_of(missing: Iterable[NeededDataset], folder: Path) -> list[str]:
    """The codes of the languages in which datasets are there that are ``missing`` in others."""
    known = {code.upper(): code for code in codes()}
    found: set[str] = set()
    for one in missing:
        if one.code is not None and (stem := _stem(one.dataset, one.code)) is not None:
            others = (path.name.removeprefix(Path(stem).name).upper() for path in folder.glob(f"{stem}*"))
            found |= {known[other] for other in others if other in known} - {one.code}
    return sorted(found)


def _name(code: str) -> str:
    # Its file may be half written.
    with contextlib.suppress(LanguageError):
        return written_fields(code).sound.get("name", code)
    return code


def _stem(dataset: str, code: str) -> str | None:
    """The name of a dataset up to the code of its language; None where it has none, such as lmms-lab/GQA."""
    stem = dataset[: -len(code)]
    return stem if f"{stem}{code}".casefold() == dataset.casefold() and stem[-1] in "-_" else None


def require_on_hub(missing: Sequence[NeededDataset]) -> None:
    """Refuse what cannot be downloaded; UsageError names the first."""
    for one in missing:
        if not one.on_hub:
            raise UsageError(
                f"task {one.task}: {one.dataset} is not on the hub (remedy: get it {one.remedy} and "
                "give its folder with --data, or choose others with --tasks)"
            )


def left_out_note(missing: Sequence[NeededDataset], folder: Path) -> str:
    """The line that says which tasks are left out, since they have no data."""
    lacks: dict[str, list[str]] = {}
    for one in missing:
        lacks.setdefault(one.task, []).append(one.dataset)
    said = ", ".join(f"{task} ({', '.join(datasets)})" for task, datasets in lacks.items())
    return f"left out, since their data are not in {folder}: {said}"


def other_language_note(task: str, dataset: str, questions: Iterable[str], code: str) -> str | None:
    """The line that says that questions are in another language than their task; None if they seem not to be.

    None also where it cannot be said: too few letters, or a language that is not known.
    """
    asked: dict[str, None] = {}
    for question in questions:
        asked[question] = None
        if len(asked) == QUESTIONS:
            break
    text = " ".join(asked)
    letters = sum(map(str.isalpha, text))
    least = next((odds for enough, odds in ODDS if letters >= enough), None)
    if least is None:
        return None
    found, odds = rival_of(text, code)
    if odds < least:
        return None
    # Which of the small ones it is shows only among all that are known.
    likeliest, _ = most_probable(text)
    found = found if likeliest == label_of(code) else likeliest
    locale = locale_of(found)
    name = locale.english_name if locale else found
    return (
        f"task {task}: the questions of {dataset} seem to be {name}, not {language(code).name} "
        "(remedy: give the data of the task's language with --data)"
    )
