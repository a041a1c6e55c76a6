"""Record what the tasks released with the paper make of some answers: ``released_scores.json`` beside this.

    python -m tests.golden.make_released_scores --tasks LLaVA-NDiNO/lmms-eval-tasks

``--tasks`` is that folder of a clone of the released code (ab381fe). Its YAML and functions run unchanged in
lmms-eval but for where the data come from; nothing but our own answers and their scores is kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

GOLDEN = Path(__file__).with_name("released_scores.json")
FILES = {
    "gqa-it": "gqa_it/gqa_it.yaml",
    "mtvqa-it": "mtvqa_it/mtvqa_it.yaml",
    "exams-v-it": "exams-v_it/exams-v_it.yaml",
    "seedbench-it": "seedbench_it/seedbench.yaml",
    "ok-vqa-it": "ok-vqa_it/ok-vqa_it.yaml",
    "pope-it": "pope_it/pope.yaml",
}

COLOUR = {"question": "Di che colore è?", "answer": "rosso"}
TITLE = {"question": "Che cosa c'è scritto?", "answer": "L'orso bruno"}
EXAM = {"question": "Qual è la risposta?", "answer": "B"}
CHOICE = {
    "question": "Che cosa si vede?",
    **{"choice_a": "un gatto", "choice_b": "una mucca", "choice_c": "il cane", "choice_d": "tre topi"},
    "answer": "B",
}
YES, NO = ({"question": "C'è un gatto nell'immagine?", "answer": answer} for answer in ("sì", "no"))
TEN = {
    "question": "Quanti sono?",
    "answers": ["due", "Due", "2", "un paio", "due", "due gatti", *["tre"] * 4],
}
HOME = {"question": "Dove si trova?", "answers": ["a casa"] * 6 + ["un gatto"] * 4}

# Typical answers of models, on which the released scores are recorded.
ORDINARY: dict[str, list[tuple[dict[str, Any], list[str]]]] = {
    "gqa-it": [(COLOUR, ["rosso", "Rosso", "rosso.", "ROSSO!", "verde", "rossa", "il rosso", "È rosso"])],
    "mtvqa-it": [(TITLE, ["L'orso bruno", "l'orso bruno.", "LORSO BRUNO", "orso bruno", "«L'orso bruno»"])],
    "exams-v-it": [(EXAM, ["B", "b", "B.", "(B)", "b)", "A", "C.", "La risposta è B", "B. Roma"])],
    "seedbench-it": [(CHOICE, ["B", "b", " B.", "B. una mucca", "A", "C", "Mucca", "Bue", "D) tre topi"])],
    "ok-vqa-it": [
        (TEN, ["due", "Due", "DUE.", "2", "tre", "un paio", "due gatti", "quattro", "due, forse tre"]),
        (HOME, ["a casa", "casa", "un gatto", "gatto"]),
    ],
    "pope-it": [
        (YES, ["sì", "Sì", "Sì.", "SÌ!", "no", "No.", "non lo so"]),
        (NO, ["no", "No", "No.", "sì", "Sì,", "forse"]),
    ],
}

# The same with white space around and within, which lmms-eval strips before it scores.
SPACES = [
    "{}\n",
    " {}, ",
    " {} \n",
    "\t{}.\n\n",
    "\u00a0{}",
    "{}\r\n",
    "\n{}",
    "{}\n\nSpiegazione: si vede.",
    "\u200b{}",
]
SPACED: dict[str, list[tuple[dict[str, Any], list[str]]]] = {
    name: [(document, [form.format(word) for form in SPACES])]
    for name, document, word in [
        ("gqa-it", COLOUR, "rosso"),
        ("mtvqa-it", TITLE, "l'orso bruno"),
        ("exams-v-it", EXAM, "B"),
        ("seedbench-it", CHOICE, "B"),
        ("ok-vqa-it", TEN, "due"),
        ("pope-it", NO, "No"),
    ]
}

# What the released scores get wrong, or die of.
DEFECTS: dict[str, list[tuple[dict[str, Any], list[str]]]] = {
    "gqa-it": [
        (COLOUR, ["«rosso»", "il rosso"]),
        (TITLE, ["l’orso bruno"]),
        ({"question": "Quanti sono?", "answer": "tre"}, ["3"]),
        ({"question": "Che cos'è?", "answer": "città"}, ["citta\u0300"]),
    ],
    "mtvqa-it": [
        (COLOUR, ["“rosso”"]),
        (TITLE, ["l’orso bruno", "orso bruno"]),
        ({"question": "Che ora è?", "answer": "3"}, ["tre"]),
        ({"question": "Che cos'è?", "answer": "caffe\u0300"}, ["caffè"]),
    ],
    "exams-v-it": [(EXAM, ["«B»", "La risposta è B", "Opzione B."])],
    "seedbench-it": [
        (CHOICE, ["(B)", "La risposta è B", "Opzione B."]),
        (CHOICE | {"answer": "C"}, ["Cavallo"]),
    ],
    "ok-vqa-it": [
        ({"question": "Dove?", "answers": ["casa"] * 10}, ["a casa"]),
        ({"question": "Quanti?", "answers": ["3"] * 10}, ["tre"]),
        ({"question": "Che cosa?", "answers": ["gatto"] * 10}, ["un gatto"]),
    ],
    "pope-it": [(YES, ["", "si", "si\u0300", "Sì, c'è un gatto"])],
}


class Function(str):
    """The function that ``!function`` names in a task's YAML."""


class Loader(yaml.SafeLoader):
    pass


class Dumper(yaml.SafeDumper):
    pass


Loader.add_constructor("!function", lambda loader, node: Function(node.value))
Dumper.add_representer(Function, lambda dumper, value: dumper.represent_scalar("!function", value))


def load(tasks: Path, name: str, work: Path) -> Any:
    """A released task, loaded in lmms-eval with a row of ours in place of its data."""
    from lmms_eval.tasks import TaskManager

    path = tasks / FILES[name]
    # The released OK-VQA does not say what it is called.
    settings = {"task": name} | yaml.load(path.read_text(), Loader)
    for key in ("dataset_name", "metadata"):
        settings.pop(key, None)
    row = ORDINARY[name][0][0] | {"id": "0", "sent": "?"}
    folder = work / name
    folder.mkdir()
    shutil.copy(path.with_name("utils.py"), folder)
    (folder / "data.json").write_text(json.dumps([row]))
    settings |= {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "data.json")}},
        "test_split": "test",
    }
    (folder / path.name).write_text(yaml.dump(settings, Dumper=Dumper))
    manager = TaskManager("ERROR", include_path=str(folder), include_defaults=False)
    return manager.load_task_or_group([name])[name]


def scores(task: Any, answers: list[tuple[dict[str, Any], list[str]]]) -> tuple[list[dict], dict[str, float]]:
    """Each answer with its scores (or what it died of), and the task's totals over all of them."""
    rows, made = [], {metric: [] for metric in task.aggregation()}
    for number, (document, said) in enumerate(answers):
        for answer in said:
            row = {"document": document, "answer": answer}
            copy = json.loads(json.dumps(document)) | {"id": str(number), "question_id": str(number)}
            try:
                found = task.process_results(copy, [answer])
            except Exception as error:
                rows.append(row | {"died": type(error).__name__})
                continue
            for metric in made:
                made[metric].append(found[metric])
            rows.append(
                row | {"scores": {metric: task.aggregation()[metric]([found[metric]]) for metric in made}}
            )
    return rows, {metric: task.aggregation()[metric](items) for metric, items in made.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=Path, required=True)
    options = parser.parse_args()
    golden: dict[str, Any] = {"ordinary": {}, "spaced": {}, "defects": {}}
    with tempfile.TemporaryDirectory() as work:
        for name in ORDINARY:
            task = load(options.tasks, name, Path(work))
            rows, totals = scores(task, ORDINARY[name])
            golden["ordinary"][name] = {"rows": rows, "totals": totals}
            golden["spaced"][name] = scores(task, SPACED[name])[0]
            golden["defects"][name] = scores(task, DEFECTS[name])[0]
    GOLDEN.write_text(json.dumps(golden) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
