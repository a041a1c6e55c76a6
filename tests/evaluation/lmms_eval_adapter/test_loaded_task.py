from __future__ import annotations

from pathlib import Path

import pytest

from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.lmms_eval_adapter.metrics import is_mean
from tests.evaluation.benchmarks import draw_image


@pytest.fixture(scope="module")
def pope(benchmark_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedTask:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(benchmark_folder)
        cache = tmp_path_factory.mktemp("cache")
        return Benchmarks(["pope-it"], data=benchmark_folder, cache=cache).task("pope-it")


def test_a_row_has_a_prompt_a_target_and_images(pope):
    assert (len(pope), pope.version, pope.is_ours) == (12, 3.0, True)
    assert pope.prompt(1).startswith("C'è del rosso nell'immagine?\n")
    assert [pope.target(number) for number in range(4)] == ["sì", "no", "no", "no"]
    (image,) = pope.images(2)
    assert image.tobytes() == draw_image(2).tobytes()
    assert "image" not in pope.document(2) and pope.document(2)["category"] == "adversarial"


def test_an_answer_is_scored_and_totals_are_taken(pope):
    values = [pope.score(0, "Sì, c'è"), pope.score(1, "sì")]
    assert [value["robust"] for value in values] == [1, 0]
    assert pope.totals["robust_precision"]([v["robust_precision"] for v in values]) == 0.5


def test_a_bootstrap_calls_means_alone_for_other_peoples_tasks(pope):
    assert pope.resampled_totals == pope.totals
    theirs = LoadedTask(pope.name, pope.task, code=None)
    assert set(theirs.resampled_totals) == {"pope_accuracy", "robust", "first_sentence", "unparseable"}
    assert all(map(is_mean, theirs.resampled_totals.values()))
