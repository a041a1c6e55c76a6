"""LLaVA-Bench-it: long answers on photographs; see README.md."""

from ndino.evaluation.tasks.preparation import document_images as doc_to_visual  # noqa: F401
from ndino.evaluation.tasks.preparation import prepare
from ndino.evaluation.tasks.scores import score_long_answer

SOURCE = "swap-uniba/WILD_IT"


def process_docs(dataset):
    return prepare(dataset, SOURCE, "question", "gpt_answer")


def doc_to_text(doc):
    return doc["question"]


def process_results(doc, results):
    return score_long_answer(results[0], doc["gpt_answer"])
