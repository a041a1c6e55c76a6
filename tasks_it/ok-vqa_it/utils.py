"""OK-VQA-it: open questions that need outside knowledge, ten answers each; see README.md."""

from functools import lru_cache
from statistics import mean

from lmms_eval.tasks._task_utils.vqa_eval_metric import EvalAIAnswerProcessor

from ndino.evaluation.tasks.instructions import SHORT_ANSWER
from ndino.evaluation.tasks.preparation import document_images as doc_to_visual  # noqa: F401
from ndino.evaluation.tasks.preparation import prepare
from ndino.languages.answers import normalise

SOURCE = "swap-uniba/OK-VQA_IT"


def process_docs(dataset):
    return prepare(dataset, SOURCE, "question", lists=["answers"])


def doc_to_text(doc):
    return doc["question"] + SHORT_ANSWER


def process_results(doc, results):
    answer, answers = results[0], doc["answers"]
    return {
        "exact_match": _vqa_accuracy(_english(answer), [_english(other) for other in answers]),
        "robust": _robust(answer, answers),
    }


@lru_cache(maxsize=1024)
def _english(text):
    # The paper's score normalises Italian answers with the English rules of VQA's server.
    return EvalAIAnswerProcessor()(text)


_italian = lru_cache(maxsize=1024)(normalise)


def _robust(answer, answers):
    said, others = _italian(answer), [_italian(other) for other in answers]
    # With one of fewer than four answers left out, no answer could reach the full score.
    return _vqa_accuracy(said, others) if len(others) > 3 else float(said in others)


def _vqa_accuracy(answer, answers):
    """A third of a point per agreeing person, at most 1, averaged over leaving each person out."""
    same = [answer == other for other in answers]
    return mean([min(1.0, (sum(same) - own) / 3) for own in same]) if answers else 0.0
