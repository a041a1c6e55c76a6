"""POPE-it: is an object in the image, yes or no; see README.md."""

import string

from ndino.evaluation.tasks.instructions import LANGUAGE, SHORT_ANSWER
from ndino.evaluation.tasks.preparation import (
    AS_DOCUMENTED,
    TaskDataError,
    prepare,
    questions,
    require_columns,
)
from ndino.evaluation.tasks.preparation import document_images as doc_to_visual  # noqa: F401
from ndino.formats.questions.faults import text_fault
from ndino.languages.answers import reader
from ndino.languages.language import language

SOURCE = "swap-uniba/POPE_IT"
# The paper's score takes these words and no others.
WORDS = {language(LANGUAGE).yes[0]: True, language(LANGUAGE).no[0]: False}


def all_questions(dataset):
    return prepare(dataset, SOURCE, "question", rules={"answer": _answer_fault})


def _answer_fault(answer):
    """What is wrong with a row's answer, and the remedy."""
    if (fault := text_fault(answer, "answer")) is not None or reader(LANGUAGE).yes_or_no(answer) is not None:
        return fault
    return f"answer {answer!r:.80} is neither {' nor '.join(WORDS)}", AS_DOCUMENTED


def adversarial_questions(dataset):
    return _part(dataset, "adversarial")


def popular_questions(dataset):
    return _part(dataset, "popular")


def random_questions(dataset):
    return _part(dataset, "random")


def _part(dataset, category):
    found = questions(dataset, SOURCE)
    require_columns(found, SOURCE, "category")
    rows = [row for row, value in enumerate(found.column("category")) if value == category]
    if not rows:
        raise TaskDataError(f"{SOURCE}: no row has the category {category} (remedy: {AS_DOCUMENTED})")
    return all_questions(found.select(rows))


def doc_to_text(doc):
    return doc["question"].strip() + SHORT_ANSWER


def process_results(doc, results):
    answers = reader(LANGUAGE)
    answer, gold = results[0], answers.yes_or_no(doc["answer"])
    strict = answer.lower().strip()
    if strict and strict[-1] in string.punctuation:
        strict = strict[:-1]
    exact, said, original = WORDS.get(strict), answers.yes_or_no(answer), not answers.denies(answer)
    paper, robust, rule = ({"gold": gold, "said": each} for each in (exact, said, original))
    return {
        "pope_accuracy": float(exact == gold),
        "pope_precision": paper,
        "pope_recall": paper,
        "pope_f1_score": paper,
        "pope_yes_ratio": paper,
        "robust": float(said == gold),
        "robust_precision": robust,
        "robust_recall": robust,
        "robust_f1_score": robust,
        "robust_yes_ratio": robust,
        "first_sentence": float(original == gold),
        "first_sentence_precision": rule,
        "first_sentence_recall": rule,
        "first_sentence_f1_score": rule,
        "first_sentence_yes_ratio": rule,
        "unparseable": float(said is None),
    }


def _count(results, gold, said):
    return sum(result["gold"] in gold and result["said"] in said for result in results)


def _ratio(part, whole):
    return part / whole if whole else 0.0


def _f1(precision, recall):
    return _ratio(2 * precision * recall, precision + recall)


def precision(results):
    return _ratio(_count(results, [True], [True]), _count(results, [True, False], [True]))


def recall(results):
    return _ratio(_count(results, [True], [True]), _count(results, [True], [True, False, None]))


def f1_score(results):
    return _f1(precision(results), recall(results))


def yes_ratio(results):
    return _ratio(_count(results, [True, False], [True]), len(results))


paper_precision = precision


def paper_recall(results):
    """As released: an answer that is neither sì nor no does not count as a miss."""
    return _ratio(_count(results, [True], [True]), _count(results, [True], [True, False]))


def paper_f1_score(results):
    return _f1(paper_precision(results), paper_recall(results))


def paper_yes_ratio(results):
    """As released: the share of yes among the gold answers, not among the model's."""
    return _ratio(sum(result["gold"] is True for result in results), len(results))
