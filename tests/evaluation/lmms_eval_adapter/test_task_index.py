from __future__ import annotations

from pathlib import Path

import pytest

from ndino.common.errors import UsageError
from ndino.evaluation.errors import SetupError
from ndino.evaluation.lmms_eval_adapter.surroundings import task_environment
from ndino.evaluation.lmms_eval_adapter.task_index import TaskIndex
from ndino.evaluation.tasks.framework.templates import TEMPLATES


@pytest.fixture(scope="module")
def index() -> TaskIndex:
    return TaskIndex(["ndino-it"])


def test_our_tasks_alone_are_indexed_where_they_suffice(index):
    assert "pope-it" in index.manager.task_index and "pope" not in index.manager.task_index


def test_our_tasks_are_those_of_our_code_and_not_those_laid_over_lmms_eval(index):
    assert Path(index.manager.task_index["pope-it"]["yaml_path"]) == TEMPLATES / "pope_it" / "pope_it.yaml"
    assert index.code("pope-it") == index.code("pope_full-it") == "it"


def test_others_are_indexed_where_one_is_named():
    index = TaskIndex(["pope-it", "pope"])
    assert index.code("pope-it") == "it" and not index.is_ours("pope")


def test_an_unknown_task_of_a_language_hides_none_of_its_others():
    index = TaskIndex(["pope-es", "pope-itt-es"])
    assert index.code("pope-es") == "es"
    with pytest.raises(UsageError, match="unknown task 'pope-itt-es'"):
        index.parts("pope-itt-es")


def test_a_group_has_parts_and_a_task_has_none(index):
    assert index.parts("pope_full-it") == ["pope_adv-it", "pope_pop-it", "pope_random-it"]
    assert index.parts("pope-it") is None


OURS = "one of ndino-it, ndino-it-full, ndino-it-native, pope_full-it, exams-v-it, gqa-it, llava-bench-it, m"


def test_an_unknown_name_is_an_error_with_close_ones_first_and_all_of_ours(index):
    with pytest.raises(UsageError, match=rf"unknown task 'pope-itt' \(remedy: pope-it; otherwise {OURS}"):
        index.parts("pope-itt")


def test_a_name_that_is_close_to_none_gets_no_odd_suggestions():
    with pytest.raises(UsageError, match=rf"unknown task 'nope' \(remedy: {OURS}") as error:
        TaskIndex(["nope"]).parts("nope")
    assert str(error.value).endswith("xm3600-it, or a task of lmms-eval)")


def test_a_yaml_includes_what_it_names(index):
    config = index.config("pope_adv-it")
    assert config["dataset_path"] == "swap-uniba/POPE_IT" and config["task"] == "pope_adv-it"


def test_a_file_that_cannot_be_read_is_named_once_with_the_remedy(index, tmp_path, monkeypatch):
    from lmms_eval.api.task import ConfigurableTask

    monkeypatch.setattr(ConfigurableTask.download.retry, "sleep", lambda _: pytest.fail("tried again"))
    folder = tmp_path / "swap-uniba" / "MTVQA_IT"
    folder.mkdir(parents=True)
    (folder / "test.parquet").write_bytes(b"PAR1 but no more")
    monkeypatch.chdir(tmp_path)
    with (
        task_environment(shuffled=False, cache=tmp_path / "cache"),
        pytest.raises(SetupError, match=r"^task mtvqa-it: .*\(remedy: copy it again\)$"),
    ):
        index.load("mtvqa-it", task_type="simple", remedy="copy it again")
    # Loading leaves lmms-eval's own number of tries in place.
    assert ConfigurableTask.download.retry.stop.__class__.__name__ == "stop_any"


@pytest.mark.parametrize(("key", "counts"), [("origin", False), ("version", True), ("parts", True)])
def test_where_a_tasks_texts_come_from_is_no_part_of_what_its_results_depend_on(
    index, monkeypatch, key, counts
):
    config, before = index.config("pope-it"), index.definition("pope-it")
    assert key in config["metadata"]
    changed = {**config, "metadata": {**config["metadata"], key: "changed"}}
    monkeypatch.setattr(index, "config", lambda name: changed)
    assert (index.definition("pope-it") != before) == counts
    # Results of earlier versions, whose YAMLs did not say it, are still today's.
    without = {**config, "metadata": {k: v for k, v in config["metadata"].items() if k != "origin"}}
    monkeypatch.setattr(index, "config", lambda name: without)
    assert index.definition("pope-it") == before
