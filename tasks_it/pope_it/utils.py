"""POPE-it: is an object in the image, yes or no; see README.md."""

import string

from ndino.evaluation.tasks.instructions import SHORT_ANSWER
from ndino.evaluation.tasks.preparation import TaskDataError, prepare, require_columns
from ndino.evaluation.tasks.preparation import document_images as doc_to_visual  # noqa: F401
from ndino.languages.answers import read_yes_no

SOURCE = "swap-uniba/POPE_IT"
YES, NO = "sì", "no"


def all_questions(dataset):
    prepared = prepare(dataset, SOURCE, "question", "answer")
    for row, answer in enumerate(prepared["answer"], start=1):
        if read_yes_no(answer) is None:
            raise TaskDataError(f"{SOURCE} row {row}: answer {answer!r} is neither sì nor no")
    return prepared


def adversarial_questions(dataset):
    return _part(dataset, "adversarial")


def popular_questions(dataset):
    return _part(dataset, "popular")


def random_questions(dataset):
    return _part(dataset, "random")


def _part(dataset, category):
    require_columns(dataset, SOURCE, "category")
    rows = [row for row, found in enumerate(dataset["category"]) if found == category]
    if not rows:
        raise TaskDataError(f"{SOURCE}: no row has the category {category}")
    return all_questions(dataset.select(rows))


def doc_to_text(doc):
    return doc["question"].strip() + SHORT_ANSWER


def process_results(doc, results):
    answer, gold = results[0], read_yes_no(doc["answer"])
    strict = answer.lower().strip()
    if strict and strict[-1] in string.punctuation:
        strict = strict[:-1]
    said = read_yes_no(answer)
    paper, robust = {"gold": gold, "said": strict}, {"gold": gold, "said": said}
    return {
        "pope_accuracy": float(strict == gold),
        "pope_precision": paper,
        "pope_recall": paper,
        "pope_f1_score": paper,
        "pope_yes_ratio": paper,
        "robust": float(said == gold),
        "robust_precision": robust,
        "robust_recall": robust,
        "robust_f1_score": robust,
        "robust_yes_ratio": robust,
        "unparseable": float(said is None),
    }


def _count(results, gold, said):
    return sum(result["gold"] in gold and result["said"] in said for result in results)


def _ratio(part, whole):
    return part / whole if whole else 0.0


def _f1(precision, recall):
    return _ratio(2 * precision * recall, precision + recall)


def precision(results):
    return _ratio(_count(results, [YES], [YES]), _count(results, [YES, NO], [YES]))


def recall(results):
    return _ratio(_count(results, [YES], [YES]), _count(results, [YES], [YES, NO, None]))


def f1_score(results):
    return _f1(precision(results), recall(results))


def yes_ratio(results):
    return _ratio(_count(results, [YES, NO], [YES]), len(results))


paper_precision = precision


def paper_recall(results):
    """As released: an answer that is neither sì nor no does not count as a miss."""
    return _ratio(_count(results, [YES], [YES]), _count(results, [YES], [YES, NO]))


def paper_f1_score(results):
    return _f1(paper_precision(results), paper_recall(results))


def paper_yes_ratio(results):
    """As released: the share of yes among the gold answers, not among the model's."""
    return _ratio(sum(result["gold"] == YES for result in results), len(results))
