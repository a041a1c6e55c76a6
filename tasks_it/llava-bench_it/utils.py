"""LLaVA-Bench-it: long answers on photographs; see README.md."""

from ndino.evaluation import tasks
from ndino.evaluation.tasks import document_images as doc_to_visual  # noqa: F401

SOURCE = "swap-uniba/WILD_IT"


def process_docs(dataset):
    return tasks.prepare(dataset, SOURCE, "question", "gpt_answer")


def doc_to_text(doc):
    return doc["question"]


def process_results(doc, results):
    return tasks.score_long_answer(results[0], doc["gpt_answer"])
