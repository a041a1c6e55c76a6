"""EXAMS-V-it: scanned multiple-choice exam questions; see README.md."""

from ndino.evaluation.tasks.instructions import LETTER_ANSWER
from ndino.evaluation.tasks.preparation import document_images as doc_to_visual  # noqa: F401
from ndino.evaluation.tasks.preparation import prepare, require_letters
from ndino.evaluation.tasks.scores import exact_match, score_letter

SOURCE = "swap-uniba/EXAMS-V_IT"
# The options are part of the image, so their number is unknown; no exam of the set goes beyond H.
LETTERS = "ABCDEFGH"


def process_docs(dataset):
    prepared = prepare(dataset, SOURCE, "question", "answer")
    require_letters(prepared, SOURCE, LETTERS)
    return prepared


def doc_to_text(doc):
    return doc["question"] + LETTER_ANSWER


def process_results(doc, results):
    return {
        "exact_match": exact_match(results[0], [doc["answer"]]),
        **score_letter(results[0], doc["answer"], LETTERS),
    }
