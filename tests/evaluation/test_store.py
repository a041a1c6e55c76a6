from __future__ import annotations

import json
from pathlib import Path

import pytest

from ndino.evaluation.errors import SetupError
from ndino.evaluation.models import Model
from ndino.evaluation.store import ResultsStore

MODEL = Model("it", "runs/it/model", "/runs/it/model", "weights-1")
ROWS = [{"doc_id": 0, "answer": "è"}, {"doc_id": 1, "answer": "line\nbreak\u2028"}]


def save(store: ResultsStore, task: str = "gqa-it", key: str = "k", shuffled: bool = False) -> None:
    store.save(task, key, ROWS, {"exact_match": 0.5}, shuffled=shuffled, version=1.0, majority={})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_finished_task_is_found_again(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    assert not store.done("gqa-it", "k", shuffled=False)
    save(store)
    again = ResultsStore(tmp_path, MODEL)
    assert again.done("gqa-it", "k", shuffled=False)
    assert not again.done("gqa-it", "k", shuffled=True)
    assert not again.done("gqa-it", "other data", shuffled=False)
    assert not again.done("pope-it", "k", shuffled=False)
    save(again, shuffled=True)
    assert ResultsStore(tmp_path, MODEL).done("gqa-it", "k", shuffled=True)
    assert again.rows("gqa-it", shuffled=False) == ROWS
    assert json.loads((tmp_path / "results.json").read_text())["tasks"]["gqa-it"]["n"] == 2
    assert names(tmp_path) == {"gqa-it.jsonl", "gqa-it.shuffled.jsonl", "results.json"}


def test_a_task_evaluated_again_loses_its_old_control(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    save(store, shuffled=True)
    save(store, key="other data")
    assert not store.done("gqa-it", "other data", shuffled=True)
    assert names(tmp_path) == {"gqa-it.jsonl", "results.json"}


def test_a_log_that_was_removed_is_written_again(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    (tmp_path / "gqa-it.jsonl").unlink()
    assert not ResultsStore(tmp_path, MODEL).done("gqa-it", "k", shuffled=False)


def test_a_model_trained_on_never_keeps_old_answers(tmp_path):
    store = ResultsStore(tmp_path, MODEL)
    save(store)
    save(store, shuffled=True)
    trained_on = ResultsStore(tmp_path, Model("it", MODEL.source, MODEL.path, "weights-2"))
    assert trained_on.results["tasks"] == {}
    assert names(tmp_path) == {"results.json"}


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
