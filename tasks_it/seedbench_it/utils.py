"""SEED-Bench-it: multiple choice on photographs; see README.md."""

from ndino.evaluation.tasks.instructions import LETTER_ANSWER
from ndino.evaluation.tasks.preparation import document_images as doc_to_visual  # noqa: F401
from ndino.evaluation.tasks.preparation import prepare, require_letters
from ndino.evaluation.tasks.scores import score_letter

SOURCE = "swap-uniba/SEED-Bench_IT"
LETTERS = "ABCD"


def process_docs(dataset):
    choices = [f"choice_{letter.lower()}" for letter in LETTERS]
    prepared = prepare(dataset, SOURCE, "question", "answer", *choices, may_be_empty=choices)
    require_letters(prepared, SOURCE, LETTERS)
    return prepared


def doc_to_text(doc):
    options = "\n".join(f"{letter}. {text}" for letter, text in _choices(doc).items())
    return f"{doc['question']}\n{options}{LETTER_ANSWER}"


def process_results(doc, results):
    answer = results[0]
    return {
        # The paper's score looks at the first character only.
        "seed_image": float(answer.strip()[:1].lower() == doc["answer"].strip().lower()),
        **score_letter(answer, doc["answer"], LETTERS, _choices(doc)),
    }


def _choices(doc):
    return {letter: doc[f"choice_{letter.lower()}"] for letter in LETTERS}
