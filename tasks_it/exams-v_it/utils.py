"""EXAMS-V-it: scanned multiple-choice exam questions; see README.md."""

from ndino.evaluation import tasks
from ndino.evaluation.tasks import document_images as doc_to_visual  # noqa: F401

SOURCE = "swap-uniba/EXAMS-V_IT"
# The options stand in the image, so their number is not known; no exam of the set goes beyond H.
LETTERS = "ABCDEFGH"


def process_docs(dataset):
    prepared = tasks.prepare(dataset, SOURCE, "question", "answer")
    tasks.require_letters(prepared, SOURCE, LETTERS)
    return prepared


def doc_to_text(doc):
    return doc["question"] + tasks.LETTER_ANSWER


def process_results(doc, results):
    return {
        "exact_match": tasks.exact_match(results[0], [doc["answer"]]),
        **tasks.score_letter(results[0], doc["answer"], LETTERS),
    }
