from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ndino.evaluation.benchmarks import Benchmarks, save_image
from ndino.evaluation.parts import parts_of
from tests.evaluation.answerer import Answerer, guess, see

PARTS = ["pope_adv-it", "pope_pop-it", "pope_random-it"]


@pytest.fixture(scope="module")
def benchmarks(benchmark_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(benchmark_folder)
        cache = tmp_path_factory.mktemp("cache")
        yield Benchmarks(["pope_full-it", "mtvqa-it", "mtvqa-it"], data=benchmark_folder, cache=cache)


def test_groups_are_expanded_and_each_task_is_named_once(benchmarks):
    assert benchmarks.names == [*PARTS, "mtvqa-it"]
    assert benchmarks.groups == {"pope_full-it": PARTS}


def test_a_task_is_loaded_once_for_each_kind_of_images(benchmarks):
    right, wrong = (benchmarks.task("mtvqa-it", kind) for kind in ("", "shuffled"))
    assert benchmarks.task("mtvqa-it") is right is not wrong
    assert all(right.images(i)[0].tobytes() != wrong.images(i)[0].tobytes() for i in range(4))


def test_an_outcome_has_rows_metrics_and_errors(benchmarks):
    outcome = benchmarks.ask(Answerer(guess), "mtvqa-it")
    assert outcome.metrics == {"exact_match": 0.25, "robust": 0.25, "contains": 0.25, "substring": 0.25}
    assert set(outcome.errors) == set(outcome.metrics)
    assert [row["doc_id"] for row in outcome.rows] == [0, 1, 2, 3]
    assert outcome.rows[1] == outcome.rows[1] | {
        "question": "Di che colore è?",
        "target": "verde",
        "answer": "verde",
        "metrics": {"exact_match": 1.0, "robust": 1.0, "contains": 1.0, "substring": 1.0},
        "shuffled": False,
    }


def test_a_row_names_the_part_of_the_benchmark_that_it_is_in(benchmarks):
    rows = [row for name in PARTS for row in benchmarks.ask(Answerer(guess), name).rows]
    assert [row["parts"] for row in rows[::4]] == [
        {"category": name} for name in ("adversarial", "popular", "random")
    ]
    assert "parts" not in benchmarks.ask(Answerer(guess), "mtvqa-it").rows[0]


@pytest.mark.parametrize(
    "document, parts",
    [
        (
            {"subject": "Physics", "types": {"structural": "query"}, "n": 3},
            {"subject": "Physics", "n": "3", "structural": "query"},
        ),
        ({"types": {"structural": "query"}}, {"structural": "query"}),
        ({"subject": None, "types": "query", "n": [3]}, {}),
        ({"subject": " "}, {}),
    ],
)
def test_parts_are_columns_or_fields_of_them(document, parts):
    assert parts_of(document, ["subject", "n", "types.structural"]) == parts


def test_half_a_surrogate_pair_in_an_answer_can_be_written(benchmarks):
    outcome = benchmarks.ask(Answerer(lambda question, image: "a\ud83d"), "mtvqa-it")
    assert {row["answer"] for row in outcome.rows} == {"a?"}


def test_the_identity_of_data_changes_with_any_file(benchmark_folder, benchmarks, tmp_path):
    key = benchmarks.data_key("mtvqa-it")
    assert key != benchmarks.data_key(PARTS[0]) == benchmarks.data_key(PARTS[1])
    source = benchmark_folder / "swap-uniba" / "MTVQA_IT"
    copy = tmp_path / "swap-uniba" / "MTVQA_IT"
    copy.mkdir(parents=True)
    for path in source.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert Benchmarks(["mtvqa-it"], data=tmp_path).data_key("mtvqa-it") == key
    (copy / "notes.txt").write_text("more")
    assert Benchmarks(["mtvqa-it"], data=tmp_path).data_key("mtvqa-it") != key


def test_a_groups_totals_come_from_its_tasks_metrics(benchmarks):
    metrics = {name: benchmarks.ask(Answerer(see), name).metrics for name in PARTS}
    assert benchmarks.totals("pope_full-it", metrics)["pope_accuracy"] == 1


def test_an_example_image_is_at_most_672_pixels_a_side(tmp_path):
    save_image(Image.new("RGB", (1344, 100)), tmp_path / "images" / "0.png")
    with Image.open(tmp_path / "images" / "0.png") as image:
        assert image.size == (672, 50)
