"""A benchmark's log is split by kind of question into logs with scores and majorities of their own."""

from __future__ import annotations

import json

from miniature.kinds import split_by_kind
from ndino.evaluation.models import find_model
from ndino.evaluation.store import ResultsStore

DEPENDS = {"answers": {"device": "cpu"}, "task": {"version": 1.0}}


def rows(right: list[int], targets: list[str], shuffled: bool) -> list[dict]:
    return [
        {
            "doc_id": doc_id,
            "doc_hash": str(doc_id),
            "question": "?",
            "target": target,
            "answer": target if score else "altro",
            "metrics": {"exact_match": float(score)},
            "shuffled": shuffled,
        }
        for doc_id, (score, target) in enumerate(zip(right, targets, strict=True))
    ]


def test_each_kind_has_its_rows_scores_and_majority(tiny_model_folder, tmp_path):
    targets = ["rosso", "cerchio", "rosso", "stella", "blu", "stella"]
    store = ResultsStore(tmp_path / "PT", find_model("PT", str(tiny_model_folder)))
    logged = rows([1, 1, 1, 0, 0, 1], targets, shuffled=False)
    store.save("gqa-it", DEPENDS, logged, {"exact_match": 0.5}, version=1.0, majority={})
    wrong = rows([0, 1, 0, 0, 0, 0], targets, shuffled=True)
    store.save_control("gqa-it", "shuffled", wrong, {"exact_match": 0.5})
    split_by_kind("PT", tiny_model_folder, tmp_path, {"gqa-it": ["colour", "place"] * 3})
    tasks = json.loads((tmp_path / "PT" / "results.json").read_text())["tasks"]
    colour, place = tasks["colour"], tasks["place"]
    assert [colour["n"], place["n"]] == [3, 3]
    assert [round(kind["metrics"]["exact_match"], 3) for kind in (colour, place)] == [0.667, 0.667]
    assert [round(kind["shuffled"]["exact_match"], 3) for kind in (colour, place)] == [0, 0.333]
    # "rosso" is right for two of three colours, "stella" for two of three places.
    assert [round(kind["majority"]["exact_match"], 3) for kind in (colour, place)] == [0.667, 0.667]
    assert {kind["depends"]["task"]["kind"] for kind in (colour, place)} == {"colour", "place"}
    assert len({entry["key"] for entry in tasks.values()}) == 3
    log = (tmp_path / "PT" / "colour.jsonl").read_text().splitlines()
    assert [json.loads(line)["doc_id"] for line in log] == [0, 2, 4]
