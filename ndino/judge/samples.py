"""The open answers of a run: which of them are judged, and the scores of their verdicts."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError
from ndino.common.files import write_json
from ndino.common.parsing import read_json
from ndino.evaluation.controls import RIGHT, log_name
from ndino.evaluation.store import ResultsStore
from ndino.judge.asking import judge_items
from ndino.judge.errors import JudgeError
from ndino.judge.judges import Judge, name_of_judge
from ndino.judge.prompts import JudgedItem, JudgePrompt, references_of
from ndino.judge.verdicts import JudgeVerdict, VerdictFile
from ndino.languages.language import code_of_task, codes
from ndino.results.logs import LoggedSample, read_samples
from ndino.results.logs.samples import answers_digest, images_of
from ndino.results.statistics import score_interval

# Tasks with open answers, without the language's code.
OPEN_TASKS = ("ok-vqa", "gqa", "mtvqa", "llava-bench", "m-wildvision")
JUDGE, SUMMARY = "judge", "judge.json"


@dataclass(frozen=True)
class JudgedScore:
    """The verdicts on one log.

    Attributes:
        n: answers in the log.
        judged: verdicts that could be read; ``mean`` is theirs, None without any.
        unreadable: verdicts that could not, kept with ``null``.
        empty: answers without a word, which are wrong without asking.
        without_reference: answers to questions without a right answer, which are not judged.
        interval: 95 %, over images; None without a mean.
        answers: digest of the log's answers, by which the report knows that the verdicts are of these.
    """

    n: int
    judged: int
    unreadable: int
    empty: int
    without_reference: int
    mean: float | None
    interval: tuple[float, float] | None
    answers: str


def evaluated_models(run: Path, names: Sequence[str] | None) -> list[Path]:
    """The folders of the evaluated models of a run, those with these names.

    Raises:
        UsageError: there is none, or none of one of these names.
    """
    found = {path.parent.name: path.parent for path in sorted(run.glob("eval/*/results.json"))}
    if not found:
        raise UsageError(
            f"{run}: no evaluated model (eval/MODEL/results.json) "
            f"(remedy: evaluate a model first, with --out {run / 'eval'})"
        )
    if unknown := [name for name in names or () if name not in found]:
        raise UsageError(
            f"{run}: no evaluated model {unknown[0]!r} (remedy: --models with some of {', '.join(found)})"
        )
    return [found[name] for name in dict.fromkeys(names or found)]


def judged_tasks(stores: Sequence[ResultsStore], names: Sequence[str] | None) -> list[str]:
    """The evaluated tasks with open answers, or those of these names.

    Raises:
        UsageError: there is none, none of one of these names, or one whose name says no language.
    """
    evaluated = sorted({task for store in stores for task in store.results["tasks"]})
    tasks = [*dict.fromkeys(names)] if names is not None else [task for task in evaluated if _is_open(task)]
    if unknown := [task for task in tasks if task not in evaluated or code_of_task(task) is None]:
        reason = "not evaluated" if unknown[0] not in evaluated else "its name ends with no language's code"
        raise UsageError(
            f"--tasks {unknown[0]}: {reason} (remedy: some of {', '.join(evaluated) or 'no task'})"
        )
    if not tasks:
        raise UsageError(
            f"no evaluated task has open answers (remedy: evaluate one of {', '.join(OPEN_TASKS)}, "
            "or name tasks with --tasks)"
        )
    return tasks


def _is_open(task: str) -> bool:
    code = code_of_task(task)
    return code is not None and task.removesuffix(f"-{code}") in OPEN_TASKS


class JudgedModel:
    """The verdicts of one judge on one model's answers: ``eval/MODEL/judge/JUDGE/``."""

    def __init__(self, store: ResultsStore, judge: Judge) -> None:
        self._store, self._judge = store, judge
        self.folder = store.folder / JUDGE / name_of_judge(judge)

    def known(self) -> dict[str, JudgeVerdict]:
        """The verdicts that are kept here, by their keys."""
        found: dict[str, JudgeVerdict] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            found |= VerdictFile(path).known()
        return found

    def judge(
        self, task: str, prompt: JudgePrompt, known: MutableMapping[str, JudgeVerdict]
    ) -> dict[str, JudgedScore]:
        """Judge a task's answers and those of its controls; the scores by the control's name.

        Raises:
            JudgeError: the judge cannot be asked.
            ResultsError: a log is broken.
        """
        # All are read before the first verdict: a broken log is named at once.
        logs = {
            control: read_samples(self._store.folder / log_name(task, control), shuffled=control != RIGHT)
            for control in (RIGHT, *self._store.controls(task))
        }
        right = {sample.doc_id: sample for sample in logs[RIGHT]}
        scores = {}
        for control, samples in logs.items():
            file = VerdictFile(self.folder / log_name(task, control))
            verdicts = self._verdicts(samples, prompt, file, known)
            # Questions belong together by their own image: blank images of one size are all the same.
            about = [right.get(sample.doc_id, sample) for sample in samples]
            scores[control] = judged_score(samples, verdicts, about)
        return scores

    def _verdicts(
        self,
        samples: Sequence[LoggedSample],
        prompt: JudgePrompt,
        file: VerdictFile,
        known: MutableMapping[str, JudgeVerdict],
    ) -> dict[int, JudgeVerdict]:
        """The verdicts on the answers to questions with a right answer, by their places."""
        items = {
            place: JudgedItem(sample.question, references, sample.answer)
            for place, sample in enumerate(samples)
            if (references := references_of(sample.target))
        }

        def line_of(place: int) -> dict[str, Any]:
            return {"doc_id": samples[place].doc_id, "doc_hash": samples[place].doc_hash}

        return judge_items(self._judge, prompt, items, file, known, line_of)

    def entries(self) -> dict[str, Any]:
        """The tasks in ``judge.json`` that were judged with the prompt of today.

        Raises:
            JudgeError: the file is broken.
        """
        path = self.folder / SUMMARY
        if not path.exists():
            return {}
        try:
            return {task: entry for task, entry in read_json(path)["tasks"].items() if _is_current(entry)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JudgeError(f"{path}: broken: {error} (remedy: remove it and rerun)") from error

    def write(self, entries: Mapping[str, Any], checks: Mapping[str, Any]) -> None:
        """Write ``judge.json``: the judge, the tasks (`entry_of`), and its check in each language."""
        judge = {"judge": self.folder.name, "source": self._judge.source, "identity": self._judge.identity}
        more = {"sees_images": False, "checks": dict(checks), "tasks": dict(entries)}
        write_json(self.folder / SUMMARY, judge | more)


def judged_score(
    samples: Sequence[LoggedSample], verdicts: Mapping[int, JudgeVerdict], about: Sequence[LoggedSample]
) -> JudgedScore:
    """The score of a log's verdicts, by the places of its samples.

    Args:
        about: for each sample, the one with the image that its question is about.
    """
    read = {place: verdict.value for place, verdict in verdicts.items() if verdict.value is not None}
    values = list(read.values())
    interval = None
    if values:
        images = images_of([about[place] for place in read])
        interval = score_interval(values, images)
    return JudgedScore(
        n=len(samples),
        judged=len(values),
        unreadable=len(verdicts) - len(values),
        empty=sum(not samples[place].answer.strip() for place in verdicts),
        without_reference=len(samples) - len(verdicts),
        mean=sum(values) / len(values) if values else None,
        interval=interval,
        answers=answers_digest(samples),
    )


def _is_current(entry: Mapping[str, Any]) -> bool:
    code = entry["language"]
    return code in codes() and JudgePrompt(code).identity == entry["prompt"]


def entry_of(prompt: JudgePrompt, scores: Mapping[str, JudgedScore]) -> dict[str, Any]:
    """A task's part of ``judge.json``."""
    controls = {control: asdict(score) for control, score in scores.items() if control != RIGHT}
    asked = {"language": prompt.code, "prompt": prompt.identity}
    return {**asked, **asdict(scores[RIGHT]), "controls": controls}
