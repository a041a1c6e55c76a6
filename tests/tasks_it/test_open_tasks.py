"""Captions with several references, and requests for a judge: XM3600 and m-WildVision."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import Dataset
from PIL import Image

from miniature.worlds.open_files import write_open_files
from miniature.worlds.scenes import distinct_scenes
from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.store import ResultsStore
from ndino.evaluation.tasks.framework.preparation import TaskDataError
from ndino.languages.language import language
from ndino.languages.lexicon import lexicon
from tests.commands import evaluate
from tests.evaluation.answerer import Answerer, metrics
from tests.evaluation.benchmarks import draw_image
from tests.evaluation.commands.results import results
from tests.languages.copies import language_file
from tests.languages.shipped import WITH_TASKS
from tests.languages.test_answers import ODD

TASKS = ["xm3600-it", "m-wildvision-it"]
LANGUAGE = ["in_language", "in_english", "in_other_language", "language_undecided"]
METRICS = {
    "xm3600-it": ["chrf", "unparseable", *LANGUAGE, "words"],
    "m-wildvision-it": [*LANGUAGE, "unparseable", "words"],
}
LONG = "Nella fotografia si vede una superficie rossa senza alcuna scritta né altre figure."
ENGLISH = "The photograph shows a plain red surface without any writing or other figures on it."


def write_samples(folder: Path, code: str = "it", rows: int = 4) -> Path:
    """What the miniature writes for these tasks, of a few scenes."""
    rng = random.Random(7)
    scenes, words = distinct_scenes(rng, rows), lexicon(code)
    images = [scene.draw(rng) for scene in scenes]
    captions = [scene.caption(words) for scene in scenes]
    write_open_files(folder, images, captions, [scene.description(words) for scene in scenes], words)
    return folder


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def tasks(samples: Path) -> Iterator[Benchmarks]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(samples)
        yield Benchmarks(TASKS, data=samples)


def process(tasks: Benchmarks, name: str, *rows: dict) -> list[dict]:
    """The rows as ``process_docs`` makes them; every row has an image."""
    shown = [{"image": draw_image(number), **row} for number, row in enumerate(rows)]
    return [*tasks.task(name).task.config.process_docs(Dataset.from_list(shown))]


def test_a_caption_is_asked_for_in_the_tasks_language(tasks):
    task = tasks.task("xm3600-it")
    assert {task.prompt(number) for number in range(len(task))} == {"Descrivi questa immagine in una frase."}
    assert task.settings["max_new_tokens"] == 128
    assert len(task.target(0)) == 2 and task.target(0) != task.target(1)


@pytest.mark.parametrize("column", ["prompt", "instruction", "question"])
def test_a_request_is_asked_as_it_stands_whatever_its_column_is_called(tasks, column):
    task = tasks.task("m-wildvision-it")
    assert task.prompt(0) == lexicon("it").description_question
    assert task.settings["max_new_tokens"] == 512
    (row,) = process(tasks, "m-wildvision-it", {column: "Che cosa c'è?", "question_id": "7"})
    assert task.task.doc_to_text(row) == "Che cosa c'è?"


@pytest.mark.parametrize("name", TASKS)
def test_each_metric_of_an_answer_has_a_total(tasks, name):
    scored = metrics(tasks, name, LONG)
    assert [*scored] == METRICS[name] == [*tasks.task(name).totals]
    assert (scored["in_language"], scored["words"], scored["unparseable"]) == (1, 13, 0)
    assert metrics(tasks, name, ENGLISH)["in_english"] == 1


def test_a_caption_is_compared_with_the_reference_that_is_most_like_it(tasks):
    task = tasks.task("xm3600-it")
    for reference in task.target(1):
        assert metrics(tasks, "xm3600-it", reference.upper(), doc=1)["chrf"] == 1
        assert metrics(tasks, "xm3600-it", reference, doc=0)["chrf"] < 1
    assert 0 < metrics(tasks, "xm3600-it", "Un cane.")["chrf"] < 0.5


def test_what_a_judge_needs_is_in_the_log_and_a_request_without_a_reference_has_none(tasks):
    rows = tasks.ask(Answerer(lambda context, image: LONG), "m-wildvision-it").rows
    description = tasks.task("m-wildvision-it").document(0)["reference"]
    assert (rows[0]["question"], rows[0]["answer"], rows[0]["target"]) == (
        *(lexicon("it").description_question, LONG),
        description,
    )
    plain = tasks.task("m-wildvision-it").task
    assert plain.doc_to_target({"prompt": "Che cosa c'è?"}) == []


def test_without_references_no_constant_answer_is_best(tmp_path, monkeypatch):
    write_samples(tmp_path)
    folder = tmp_path / "CohereLabs" / "m-WildVision"
    read = Dataset.from_parquet(str(folder / "test.parquet"), cache_dir=str(tmp_path / "cache"))
    read.remove_columns("reference").to_parquet(folder / "test.parquet")
    monkeypatch.chdir(tmp_path)
    benchmarks = Benchmarks(["m-wildvision-it"], data=tmp_path)
    found = benchmarks.ask(Answerer(lambda context, image: LONG), "m-wildvision-it")
    assert (found.metrics["in_language"], found.rows[0]["target"]) == (1, [])
    assert benchmarks.majority("m-wildvision-it") == {}


@pytest.mark.parametrize("name", TASKS)
def test_no_answer_kills_a_run_and_nonsense_scores_nothing(tasks, name):
    answers = iter(ODD * 4)
    odd = tasks.ask(Answerer(lambda context, image: next(answers)), name)
    assert len(odd.rows) == 4
    for answer in (*ODD, "a" * 100_000, "\ud800", "un " * 5_000):
        scored = metrics(tasks, name, answer)
        shares = {metric: value for metric, value in scored.items() if metric != "words"}
        assert all(0 <= value <= 1 for value in shares.values())
        assert sum(scored[metric] for metric in LANGUAGE) == 1
        assert scored["words"] >= 0 and scored["unparseable"] == float(scored["words"] == 0)
    for answer in ("", " \n", "...", "¿?"):
        empty = metrics(tasks, name, answer)
        assert (empty["unparseable"], empty["words"], empty["language_undecided"]) == (1, 0, 1)
        assert empty.get("chrf", 0) == 0


@pytest.mark.parametrize(
    ("name", "broken", "said"),
    [
        ("xm3600-it", {"captions": None}, "captions is None, not a list of texts"),
        ("xm3600-it", {"captions": "Un gatto."}, "captions is 'Un gatto.', not a list of texts"),
        ("xm3600-it", {"captions": []}, r"captions is empty: \[\]"),
        ("xm3600-it", {"captions": ["Un gatto.", " "]}, r"captions is empty: \['Un gatto.', ' '\]"),
        ("xm3600-it", {"captions": [7]}, r"captions is \[7\], not a list of texts"),
        ("xm3600-it", {}, "floschne/xm3600: no column captions among"),
        ("m-wildvision-it", {"prompt": ""}, "prompt is empty"),
        ("m-wildvision-it", {"prompt": None}, "prompt is None, not a text"),
        ("m-wildvision-it", {"instruction": 3}, "instruction is 3, not a text"),
        ("m-wildvision-it", {"prompt": "C'è?", "reference": ""}, "reference is empty"),
        ("m-wildvision-it", {"prompt": "C'è?", "reference": ["Sì"]}, r"reference is \['Sì'\], not a text"),
        ("m-wildvision-it", {"request": "C'è?"}, "CohereLabs/m-WildVision: no column prompt among"),
    ],
)
def test_rows_that_cannot_be_asked_or_scored_are_named_before_inference(tasks, name, broken, said):
    with pytest.raises(TaskDataError, match=said):
        process(tasks, name, broken)


@pytest.mark.parametrize("name", TASKS)
def test_rows_without_an_image_are_named_before_inference(tasks, name):
    good = {"captions": ["Un gatto."], "prompt": "Che cosa c'è?"}
    for shown, said in (("no.png", "no.png"), (None, "image is empty")):
        rows = Dataset.from_list([{"image": shown, **good}])
        with pytest.raises(TaskDataError, match=f"row 1: .*{said}"):
            tasks.task(name).task.config.process_docs(rows)


@pytest.mark.parametrize("code", WITH_TASKS)
def test_the_miniatures_samples_are_read_in_every_language(code, tmp_path, monkeypatch):
    write_samples(tmp_path, code, rows=2)
    monkeypatch.chdir(tmp_path)
    benchmarks = Benchmarks([f"xm3600-{code}", f"m-wildvision-{code}"], data=tmp_path)
    caption, request = map(benchmarks.task, benchmarks.names)
    assert caption.prompt(0) == language(code).words["caption_request"]
    assert request.prompt(0) == lexicon(code).description_question
    assert caption.target(0)[1] == request.target(0)
    assert caption.score(0, caption.target(0)[0])["chrf"] == 1
    assert [benchmarks.origin(name) for name in benchmarks.names] == ["native", "translated"]


def test_a_language_without_a_request_for_captions_has_its_other_tasks(tmp_path, monkeypatch):
    (tmp_path / "languages").mkdir()
    language_file(monkeypatch, tmp_path / "languages", "q-o", without=("caption_request",))
    data = write_samples(tmp_path / "data", "q-o")
    monkeypatch.chdir(data)
    benchmarks = Benchmarks(["m-wildvision-q-o", "xm3600-q-o"], data=data)
    assert benchmarks.task("m-wildvision-q-o").prompt(0) == lexicon("q-o").description_question
    with pytest.raises(Exception, match="task xm3600-q-o: language 'q-o': caption_request is missing"):
        benchmarks.task("xm3600-q-o")


@pytest.mark.parametrize("name", TASKS)
def test_no_answer_keeps_its_image_in_a_control(tasks, name):
    shown: dict[str, list[bytes]] = {"": [], "shuffled": [], "blank": []}

    def remember(control: str):
        def answer(context: str, image: Image.Image) -> str:
            shown[control].append(image.tobytes())
            return ""

        return answer

    for control in shown:
        tasks.ask(Answerer(remember(control)), name, control)
    assert all(own != wrong for own, wrong in zip(shown[""], shown["shuffled"], strict=True))
    assert {*shown[""]} == {*shown["shuffled"]} and all({*image} == {128} for image in shown["blank"])


@pytest.mark.parametrize(
    ("backend", "more"),
    # A question at a time, up to 512 tokens each, without the batches of hf.
    [("hf", ["--limit", 4, "--shuffle"]), ("lmms:llava_hf,device=cpu,device_map=cpu", ["--limit", 1])],
)
def test_the_samples_are_evaluated_with_every_backend(backend, more, samples, tiny_model_folder, tmp_path):
    asked = ["--model", f"it={tiny_model_folder}", "--data", samples, "--tasks", ",".join(TASKS)]
    how = ["--backend", backend, "--batch", 1 if backend != "hf" else 8, "--out", tmp_path]
    assert evaluate([*map(str, [*asked, *how, *more])]) == 0
    found = results(tmp_path / "it")["tasks"]
    assert {name: [*entry["metrics"]] for name, entry in found.items()} == METRICS
    assert {name: entry["origin"] for name, entry in found.items()} == {
        "xm3600-it": "native",
        "m-wildvision-it": "translated",
    }
    for name in TASKS:
        rows = ResultsStore.of(tmp_path / "it").rows(name)
        assert len(rows) == more[1]
        assert all(row["answer"] and [*row["metrics"]] == METRICS[name] for row in rows)
        assert set(found[name]["shuffled"]) == ({*METRICS[name]} if "--shuffle" in more else set())
