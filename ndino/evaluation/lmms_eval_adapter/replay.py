"""A model of lmms-eval that repeats kept answers, so that they are scored as when they were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms


class KeptAnswers(lmms):
    """Answers a task's questions from the rows of its log.

    Attributes:
        shown_images: as `answering.note_images` has it, from the rows.
        letters: the log-probabilities of letters, likewise.
    """

    def __init__(self, task: str, rows: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self._task, self._rows = task, {row["doc_id"]: row for row in rows}
        self.shown_images: dict[str, dict[int, list[str]]] = {}
        self.letters: dict[str, dict[int, dict[str, float]]] = {}

    def generate_until(self, requests: list[Instance]) -> list[str]:
        # Whatever is asked has cleared the notes of an earlier task.
        self.shown_images = {self._task: {number: _images(row) for number, row in self._rows.items()}}
        self.letters = {self._task: {number: row.get("letters", {}) for number, row in self._rows.items()}}
        return [self._rows[request.doc_id]["answer"] for request in requests]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError("kept answers are texts")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError("kept answers are to single questions")


def _images(row: Mapping[str, Any]) -> list[str]:
    shown = row.get("image_sha256", [])
    return [shown] if isinstance(shown, str) else list(shown)
