"""Stand-ins for a model, to see what tasks do with answers that a test chooses."""

from __future__ import annotations

from collections.abc import Callable

from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from PIL.Image import Image

from ndino.evaluation.benchmarks import Benchmarks
from tests.evaluation.benchmarks import COLOURS, description


class Answerer(lmms):
    """Answers every question by ``answer(question, image)``."""

    def __init__(self, answer: Callable[[str, Image], str]) -> None:
        super().__init__()
        self.answer = answer

    def generate_until(self, requests: list[Instance]) -> list[str]:
        answers = []
        for request in requests:
            context, _, doc_to_visual, doc_id, task, split = request.args
            (image,) = doc_to_visual(self.task_dict[task][split][doc_id])
            answers.append(self.answer(context, image))
        return answers

    def loglikelihood(self, requests):
        raise NotImplementedError

    def generate_until_multi_round(self, requests):
        raise NotImplementedError


def name_of(image: Image) -> str:
    """The colour of a benchmark's image."""
    return next(name for name, colour in COLOURS.items() if colour == image.getpixel((0, 0)))


def see(context: str, image: Image) -> str:
    """Answer the benchmarks rightly, by looking at the image."""
    colour = name_of(image)
    if "lettera" in context:
        return "ABCD"[list(COLOURS).index(colour)]
    if "C'è del" in context:
        return "sì" if colour in context else "no"
    return description(colour) if context.startswith("Descrivi") else colour


def guess(context: str, image: Image) -> str:
    """Answer without looking."""
    return "B" if "lettera" in context else "sì" if "C'è del" in context else "verde"


def metrics(benchmarks: Benchmarks, name: str, answer: str, doc: int = 0) -> dict:
    """What a task makes of one answer to one of its documents."""
    task = benchmarks.task(name).task
    return task.process_results(task.eval_docs_no_media[doc], [answer])
