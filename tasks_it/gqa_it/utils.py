"""GQA-it: open questions on photographs; see README.md."""

import json

from ndino.evaluation.tasks import gqa_images
from ndino.evaluation.tasks.instructions import SHORT_ANSWER
from ndino.evaluation.tasks.preparation import TaskDataError, require_columns, require_content, require_texts
from ndino.evaluation.tasks.scores import score_short_answer

SOURCE = "crux82/gqa-it"


def process_docs(dataset):
    """Check the questions against the images, which are a dataset of their own (lmms-lab/GQA)."""
    answer = "answer" if "answer" in dataset.column_names else "label"
    require_columns(dataset, SOURCE, "img_id", "sent", answer)
    texts = ["sent"] if "label" in dataset.column_names else ["sent", "answer"]
    require_texts(dataset, SOURCE, *texts)
    require_content(dataset, SOURCE, *texts)
    known = gqa_images.gqa_image_ids()
    for row, image_id in enumerate(dataset["img_id"], start=1):
        if image_id not in known:
            raise TaskDataError(f"{SOURCE} row {row}: image {image_id} is not in {gqa_images.SOURCE}")
    given = dataset.select_columns([name for name in ("answer", "label") if name in dataset.column_names])
    for row, doc in enumerate(given, start=1):
        if not any(answer.strip() for answer in _answers(doc)):
            raise TaskDataError(
                f"{SOURCE} row {row}: no answer in {doc!s:.80} "
                "(remedy: prepare the data as the task's README says)"
            )
    return dataset


def doc_to_visual(doc):
    return [gqa_images.gqa_image(doc["img_id"])]


def doc_to_text(doc):
    return doc["sent"] + SHORT_ANSWER


def doc_to_target(doc):
    answers = _answers(doc)
    return answers[0] if len(answers) == 1 else answers


def process_results(doc, results):
    return score_short_answer(results[0], _answers(doc))


def _answers(doc):
    # Three forms exist. The published JSON has {"label": {"rosso": 1.0}}; `datasets` turns that column into a
    # struct of every answer in the file, with None for those of other questions. Parquet files hold the label
    # as JSON text. The released task expected "answer".
    if doc.get("answer"):
        return [doc["answer"]]
    label = doc.get("label")
    try:
        label = json.loads(label) if isinstance(label, str) else label
    except ValueError:
        return []
    return [answer for answer, weight in label.items() if weight] if isinstance(label, dict) else []
