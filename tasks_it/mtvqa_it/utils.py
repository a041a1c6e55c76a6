"""MTVQA-it: questions on text in images; see README.md."""

from ndino.evaluation import tasks
from ndino.evaluation.tasks import document_images as doc_to_visual  # noqa: F401

SOURCE = "swap-uniba/MTVQA_IT"


def process_docs(dataset):
    return tasks.prepare(dataset, SOURCE, "question", "answer")


def doc_to_text(doc):
    return doc["question"] + tasks.SHORT_ANSWER


def process_results(doc, results):
    return tasks.score_short_answer(results[0], [doc["answer"]])
