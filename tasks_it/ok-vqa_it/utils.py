"""OK-VQA-it: open questions that need outside knowledge, ten answers each; see README.md."""

from functools import lru_cache
from statistics import mean

from lmms_eval.tasks._task_utils.vqa_eval_metric import EvalAIAnswerProcessor

from ndino.evaluation.tasks.instructions import SHORT_ANSWER
from ndino.evaluation.tasks.preparation import document_images as doc_to_visual  # noqa: F401
from ndino.evaluation.tasks.preparation import prepare
from ndino.evaluation.tasks.scores import contains_answer, same_answer

SOURCE = "swap-uniba/OK-VQA_IT"


def process_docs(dataset):
    return prepare(dataset, SOURCE, "question", lists=["answers"])


def doc_to_text(doc):
    return doc["question"] + SHORT_ANSWER


def process_results(doc, results):
    answer, answers = results[0], doc["answers"]
    said = _english(answer)
    return {
        "exact_match": _vqa_accuracy([said == _english(other) for other in answers]),
        "robust": _tolerant_accuracy([same_answer(answer, other) for other in answers]),
        "contains": _tolerant_accuracy([contains_answer(answer, other) for other in answers]),
    }


@lru_cache(maxsize=1024)
def _english(text):
    # The paper's score normalises Italian answers with the English rules of VQA's server.
    return EvalAIAnswerProcessor()(text)


def _tolerant_accuracy(agrees):
    # With one of fewer than four answers left out, no answer could reach the full score.
    return _vqa_accuracy(agrees) if len(agrees) > 3 else float(any(agrees))


def _vqa_accuracy(agrees):
    """A third of a point per agreeing person, at most 1, averaged over leaving each person out."""
    return mean([min(1.0, (sum(agrees) - own) / 3) for own in agrees]) if agrees else 0.0
