from __future__ import annotations

import json
from pathlib import Path

import pytest

from ndino.evaluation.errors import SetupError
from ndino.evaluation.models import Model
from ndino.evaluation.store import ResultsStore

MODEL = Model("it", "runs/it/model", "/runs/it/model", "weights-1")
ROWS = [
    {"doc_id": 0, "answer": "è", "metrics": {"exact_match": 1.0}},
    {"doc_id": 1, "answer": "line\nbreak\u2028", "metrics": {"exact_match": 0.0}},
]


NOW = {"answers": {"transformers": "5.0", "device": "cpu"}, "task": {"version": 1.0, "data": "0" * 32}}
OTHER_DATA = {**NOW, "task": {"version": 1.0, "data": "1" * 32}}


def save(store: ResultsStore, task: str = "gqa-it", depends: dict = NOW) -> None:
    store.save(task, depends, ROWS, {"exact_match": 0.5}, version=1.0, majority={})


def save_control(store: ResultsStore, control: str = "shuffled", task: str = "gqa-it") -> None:
    store.save_control(task, control, ROWS, {"exact_match": 0.25})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_finished_task_is_found_again(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    assert not store.done("gqa-it", NOW)
    save(store)
    again = ResultsStore(tmp_path, MODEL)
    assert again.done("gqa-it", NOW)
    assert not again.done("gqa-it", NOW, "shuffled")
    assert not again.done("gqa-it", OTHER_DATA)
    assert not again.done("pope-it", NOW)
    save_control(again)
    assert ResultsStore(tmp_path, MODEL).done("gqa-it", NOW, "shuffled")
    assert again.rows("gqa-it") == ROWS
    assert json.loads((tmp_path / "results.json").read_text())["tasks"]["gqa-it"]["n"] == 2
    assert names(tmp_path) == {"gqa-it.jsonl", "gqa-it.shuffled.jsonl", "results.json"}


def test_a_task_evaluated_again_loses_its_old_control(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    save_control(store)
    save(store, depends=OTHER_DATA)
    assert not store.done("gqa-it", OTHER_DATA, "shuffled")
    assert names(tmp_path) == {"gqa-it.jsonl", "results.json"}


def test_controls_written_together_stay_and_others_go(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    for control in ("shuffled", "shuffled-2", "shuffled-by_hand", "blank"):
        save_control(store, control)
    assert [*ResultsStore(tmp_path, MODEL).controls("gqa-it")] == [
        *("shuffled", "shuffled-2", "shuffled-by_hand", "blank")
    ]
    kept = {"blank": (ROWS[:1], {"exact_match": 1.0})}
    store.save("gqa-it", OTHER_DATA, ROWS, {"exact_match": 0.5}, controls=kept)
    assert store.controls("gqa-it") == {"blank": {"exact_match": 1.0}}
    assert store.rows("gqa-it", "blank") == ROWS[:1]
    assert names(tmp_path) == {"gqa-it.jsonl", "gqa-it.blank.jsonl", "results.json"}


def test_a_log_that_was_removed_is_written_again(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    (tmp_path / "gqa-it.jsonl").unlink()
    assert not ResultsStore(tmp_path, MODEL).done("gqa-it", NOW)


def test_results_of_a_model_trained_on_are_stale_and_stay_until_each_is_made_again(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    for task in ("gqa-it", "pope-it"):
        save(store, task=task)
        save_control(store, task=task)
    store.save_group("both", {"exact_match": 0.5})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    trained_on = ResultsStore(tmp_path, Model("it", MODEL.source, MODEL.path, "weights-2"))
    newer = {**NOW, "answers": {**NOW["answers"], "weights": "2" * 32}}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert not trained_on.done("gqa-it", newer)
    assert trained_on.changed("gqa-it", newer) == "weights"
    with pytest.raises(SetupError, match="also holds gqa-it, whose results are stale: weights"):
        trained_on.require_unmixed(newer["answers"], ["pope-it"])
    trained_on.require_unmixed(newer["answers"], ["gqa-it", "pope-it"])
    save(trained_on, depends=newer)
    assert names(tmp_path) == {*before} - {"gqa-it.shuffled.jsonl"}
    # A killed run: the task that was not reached is still stale, and so is the total over both.
    again = ResultsStore(tmp_path, Model("it", MODEL.source, MODEL.path, "weights-2"))
    assert again.done("gqa-it", newer) and not again.done("pope-it", newer)
    assert again.results["groups"] == {}


def test_a_control_stays_until_the_new_log_is_whole(tmp_path, monkeypatch):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    save_control(store)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        save(store, depends=OTHER_DATA)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_changed_is_said(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    newer = {**OTHER_DATA, "answers": {"transformers": "5.1", "device": "cuda"}}
    assert store.changed("gqa-it", NOW) is None and store.changed("pope-it", newer) is None
    assert store.changed("gqa-it", newer) == "transformers 5.0 → 5.1, device cpu → cuda, data"


def test_results_of_two_kinds_never_share_a_folder(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    save(store, task="pope-it")
    # Other data are another task's affair.
    store.require_unmixed(OTHER_DATA["answers"], ["mtvqa-it"])
    newer = {"transformers": "5.1", "device": "cpu"}
    store.require_unmixed(newer, ["gqa-it", "pope-it"])
    with pytest.raises(
        SetupError, match=r"also holds pope-it, whose results are stale: transformers 5\.0 → 5\.1"
    ):
        store.require_unmixed(newer, ["gqa-it"])


def test_results_of_an_earlier_version_are_stale_and_never_mixed(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    content = json.loads((tmp_path / "results.json").read_text())
    del content["tasks"]["gqa-it"]["depends"]
    content["tasks"]["gqa-it"]["key"] = "0123456789abcdef"
    (tmp_path / "results.json").write_text(json.dumps(content))
    # It had another fingerprint for the same large weights.
    again = ResultsStore(tmp_path, Model("it", MODEL.source, MODEL.path, "weights-1, hashed whole"))
    assert not again.done("gqa-it", NOW)
    assert "did not record what it depends on" in (again.changed("gqa-it", NOW) or "")
    with pytest.raises(SetupError, match="also holds gqa-it, whose results are stale: an earlier version"):
        again.require_unmixed(NOW["answers"], ["pope-it"])
    with pytest.raises(SetupError, match="which may have other weights"):
        ResultsStore(tmp_path, Model("it", "elsewhere/it", "/elsewhere/it", "weights-2"))


def test_another_model_of_the_same_name_does_not_overwrite(tmp_path):
    save(ResultsStore(tmp_path, MODEL))
    with pytest.raises(SetupError, match="holds results of runs/it/model, which has other weights"):
        ResultsStore(tmp_path, Model("it", "elsewhere/it", "/elsewhere/it", "weights-2"))
    assert names(tmp_path) == {"gqa-it.jsonl", "results.json"}


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"fingerprint": 1}'])
def test_broken_results_are_named(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(SetupError, match=r"results\.json: broken"):
        ResultsStore(tmp_path, MODEL)


def test_an_entry_says_how_many_rows_its_score_is_of_where_these_are_not_all(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    store.save("mme-it", NOW, [*ROWS, {"doc_id": 2, "metrics": {}}], {"exact_match": 0.5})
    store.save("pope-it", NOW, ROWS, {"f1": 0.5})  # of no single row
    stated = {task: entry.get("scored") for task, entry in store.results["tasks"].items()}
    assert stated == {"gqa-it": None, "mme-it": 2, "pope-it": None}


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    before = (tmp_path / "results.json").read_text()

    def full(self, *args, **kwargs):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        save(store, task="pope-it")
    assert names(tmp_path) == {"gqa-it.jsonl", "results.json"}
    assert (tmp_path / "results.json").read_text() == before
