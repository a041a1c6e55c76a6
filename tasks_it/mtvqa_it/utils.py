"""MTVQA-it: questions on text in images; see README.md."""

from ndino.evaluation.tasks.instructions import SHORT_ANSWER
from ndino.evaluation.tasks.preparation import document_images as doc_to_visual  # noqa: F401
from ndino.evaluation.tasks.preparation import prepare
from ndino.evaluation.tasks.scores import contains_text, score_short_answer

SOURCE = "swap-uniba/MTVQA_IT"


def process_docs(dataset):
    return prepare(dataset, SOURCE, "question", "answer")


def doc_to_text(doc):
    return doc["question"] + SHORT_ANSWER


def process_results(doc, results):
    answer, target = results[0], doc["answer"]
    return {**score_short_answer(answer, [target]), "substring": contains_text(answer, target)}
