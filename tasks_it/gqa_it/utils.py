"""GQA-it: open questions on photographs; see README.md."""

import json

from ndino.evaluation import tasks

SOURCE = "crux82/gqa-it"


def process_docs(dataset):
    """Check the questions against the images, which are a data set of their own (lmms-lab/GQA)."""
    answer = "answer" if "answer" in dataset.column_names else "label"
    tasks.require_columns(dataset, SOURCE, "img_id", "sent", answer)
    tasks.require_texts(dataset, SOURCE, "sent", *(() if "label" in dataset.column_names else ("answer",)))
    known = tasks.gqa_image_ids()
    for row, image_id in enumerate(dataset["img_id"], start=1):
        if image_id not in known:
            raise tasks.TaskDataError(f"{SOURCE} row {row}: image {image_id} is not in lmms-lab/GQA")
    return dataset


def doc_to_visual(doc):
    return [tasks.gqa_image(doc["img_id"])]


def doc_to_text(doc):
    return doc["sent"] + tasks.SHORT_ANSWER


def doc_to_target(doc):
    answers = _answers(doc)
    return answers[0] if len(answers) == 1 else answers


def process_results(doc, results):
    return tasks.score_short_answer(results[0], _answers(doc))


def _answers(doc):
    # The published JSON has {"label": {"rosso": 1.0}}. Read by `datasets`, its column holds every answer of
    # the file, with None for those of other questions; Parquet files carry it as JSON text; the released task
    # wanted "answer".
    if doc.get("answer"):
        return [doc["answer"]]
    label = json.loads(doc["label"]) if isinstance(doc["label"], str) else doc["label"]
    return [answer for answer, weight in label.items() if weight]
