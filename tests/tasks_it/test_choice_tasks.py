"""M3Exam, MMBench, ScienceQA, MME and circular SEED-Bench on the miniature's samples, in real lmms-eval."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lmms_eval.models.simple.llava_next_it import LlavaNextIt
from PIL import Image

from miniature.steps import make_world
from ndino.common.errors import UsageError
from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.errors import SetupError
from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.preparation import TaskDataError
from ndino.evaluation.tasks.m3exam import M3Exam
from ndino.evaluation.tasks.mmbench import MMBench
from ndino.evaluation.tasks.mme import Mme
from ndino.evaluation.tasks.science_qa import ScienceQA
from ndino.evaluation.tasks.seed_bench import SeedBenchCircular
from ndino.formats.questions.table import Questions, read_questions
from ndino.results.logs import read_model
from tests.commands import evaluate
from tests.evaluation.answerer import Answerer
from tests.evaluation.commands.results import log, results
from tests.languages.test_answers import ODD

CIRCULAR = ["mmbench-it", "seedbench_circular-it"]
LETTERED = ["m3exam-it", "scienceqa-it", *CIRCULAR]
TASKS = [*LETTERED, "mme-it"]
# The work for the longest is bounded elsewhere.
SHORT_ODD = [answer[:300] for answer in ODD]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    make_world(lambda *_: None, out, "drawn", "it", 42, True)
    return out / "benchmarks"


@pytest.fixture(scope="module")
def samples(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benchmarks]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data)
        loaded = Benchmarks(TASKS, data=data, cache=tmp_path_factory.mktemp("cache"))
        loaded.load()
        loaded.load("shuffled")
        yield loaded


def seeing(samples: Benchmarks, name: str) -> Answerer:
    """A model that knows what each question and image of a task is to be answered with."""
    task = samples.task(name)
    known = {
        (task.prompt(number), task.images(number)[0].tobytes()): task.target(number)
        for number in range(len(task))
    }
    return Answerer(lambda prompt, image: known.get((prompt, image.tobytes()), "boh"))


@pytest.mark.parametrize("name", TASKS)
def test_a_seeing_model_gets_everything_right_and_little_with_wrong_images(samples, name):
    right, wrong = (samples.ask(seeing(samples, name), name, control) for control in ("", "shuffled"))
    scores = {metric: value for metric, value in right.metrics.items() if metric != "yes_ratio"}
    assert scores == {**dict.fromkeys(scores, 1.0), "unparseable": 0.0}
    assert wrong.metrics["robust"] < 0.5
    assert {*right.errors} >= {"robust", "unparseable"}
    assert samples.index.metadata(name)["origin"] == ("native" if name == "m3exam-it" else "translated")


@pytest.mark.parametrize("name", TASKS)
def test_no_answer_kills_a_run_and_nonsense_is_wrong(samples, name):
    answers = iter(SHORT_ODD * 10)
    odd = samples.ask(Answerer(lambda prompt, image: next(answers)), name)
    assert len(odd.rows) == samples.size(name)
    json.dumps(odd.rows)
    task = samples.task(name)
    # Those of A and B alone do name them.
    number = next(number for number in range(len(task)) if task.target(number) not in ("A", "B", "sì"))
    assert {task.score(number, answer)["robust"] for answer in SHORT_ODD} == {0}
    assert task.score(number, "boh")["unparseable"] == 1


@pytest.mark.parametrize("name", CIRCULAR)
def test_a_model_that_prefers_a_letter_shows_it(samples, name):
    found = samples.ask(Answerer(lambda prompt, image: "B"), name)
    questions = [row for row in found.rows if row["rotation"] == 0]
    assert found.metrics["circular"] == 0
    assert found.metrics["robust"] == pytest.approx(len(questions) / len(found.rows))
    assert found.metrics["plain"] == sum(row["target"] == "B" for row in questions) / len(questions)
    assert {row["letter"] for row in found.rows} == {"B"}
    # All rotations of a question, so that each letter is right once.
    targets: dict[str, list[str]] = {}
    for row in found.rows:
        targets.setdefault(row["question_group"], []).append(row["target"])
    assert {"".join(sorted(letters)) for letters in targets.values()} <= {"AB", "ABCD"}
    for row in found.rows:
        assert {"circular", "plain"} <= {*row["metrics"]} or row["rotation"] > 0
        assert not {"circular", "plain"} & {*row["metrics"]} or row["rotation"] == 0
    assert sum(row["metrics"].get("circular", 0) for row in found.rows) == 0


def test_one_wrong_rotation_makes_a_question_wrong(samples):
    known = seeing(samples, "mmbench-it")
    first = samples.task("mmbench-it").prompt(1)
    model = Answerer(lambda prompt, image: "boh" if prompt == first else known.answer(prompt, image))
    found = samples.ask(model, "mmbench-it")
    groups = Counter(row["rotation"] for row in found.rows)[0]
    assert found.metrics["circular"] == pytest.approx(1 - 1 / groups)
    assert found.metrics["plain"] == 1
    assert [row["metrics"].get("circular") for row in found.rows[:5]] == [0, None, None, None, 1]
    assert found.rows[1]["letter"] is None
    mean = sum(row["metrics"].get("circular", 0) for row in found.rows) / groups
    assert mean == pytest.approx(found.metrics["circular"])


def test_both_questions_about_an_image_have_to_be_right(samples):
    said = samples.ask(Answerer(lambda prompt, image: "Sì, certo."), "mme-it")
    assert (said.metrics["robust"], said.metrics["robust_plus"], said.metrics["yes_ratio"]) == (0.5, 0, 1)
    neither = samples.ask(Answerer(lambda prompt, image: "Si vede qualcosa."), "mme-it")
    assert (neither.metrics["robust"], neither.metrics["unparseable"], neither.metrics["yes_ratio"]) == (
        0,
        1,
        0,
    )
    pairs = [row["question_group"] for row in said.rows]
    assert pairs[::2] == pairs[1::2] and len({*pairs}) == len(pairs) / 2
    assert ["robust_plus" in row["metrics"] for row in said.rows] == [True, False] * (len(pairs) // 2)


def test_the_options_of_an_exam_may_be_images_on_one_sheet(samples):
    task = samples.task("m3exam-it")
    assert task.prompt(0) == (
        "Risolvi l'esercizio mostrato nell'immagine.\n"
        + "\n".join(f"{'ABCD'[n]}. {option}" for n, option in enumerate(task.document(0)["options"]))
        + "\nRispondi utilizzando la lettera dell'opzione corretta."
    )
    assert all(option.isdigit() for option in task.document(0)["options"])
    assert "\n[1]\nA. [2]\nB. [3]\nC. [4]\nD. [5]\n" in task.prompt(1)
    assert [task.images(number)[0].size for number in (0, 1)] == [(112, 112), (384, 304)]


def test_hints_stand_before_the_question_and_rows_may_have_two_options(samples):
    task = samples.task("mmbench-it")
    prompts = {task.document(n)["question_group"]: task.prompt(n) for n in range(len(task))}
    assert not prompts["0"].startswith("L'immagine mostra") and prompts["1"].startswith("L'immagine mostra")
    assert "\nC. " in prompts["1"] and "\nC. " not in prompts["2"]
    assert samples.task("scienceqa-it").prompt(0).startswith("L'immagine mostra")


def write(folder: Path, *rows: dict[str, Any]) -> Questions:
    """Write rows as local data, with the image that they name."""
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "test.jsonl").write_text("".join(lines), encoding="utf-8")
    return read_questions(folder, "test")


ASKED = {"image": "a.png", "question": "?"}
OPTIONS = {f"choice_{letter}": letter for letter in "abcd"}
ROWS: dict[BenchmarkTask, dict[str, Any]] = {
    M3Exam("it"): {
        **{"question_text": "Quanto? (image)[a]", "background_description": ["Testo."]},
        **{"options": ["(A) 1", "(B) 2"], "answer_text": "A", "image_ids": ["a"], "images": ["a.png"]},
    },
    MMBench("it"): {**ASKED, "index": 1, "A": "sì", "B": "no", "answer": "B"},
    ScienceQA("it"): {**ASKED, "choices": ["sì", "no"], "answer": 1},
    SeedBenchCircular("it"): {**ASKED, **OPTIONS, "answer": "D"},
    Mme("it"): {**ASKED, "question_id": "a", "category": "count", "answer": "sì"},
}


def good_row(kind: type[BenchmarkTask]) -> tuple[Any, dict[str, Any]]:
    return next((task, row) for task, row in ROWS.items() if isinstance(task, kind))


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        (M3Exam, {"answer_text": "C"}, "answer 'C' is no letter from A to B"),
        (M3Exam, {"options": ["(A) 1"]}, "has 1 options, not 2 to 8"),
        (M3Exam, {"options": "A B"}, "options is 'A B', not a list of texts"),
        (M3Exam, {"options": ["(A) 1", "(B) "]}, "option B is empty: ''"),
        (M3Exam, {"question_text": None}, "question_text is None, not a text"),
        (M3Exam, {"question_text": "Quanto? (image)[b]"}, "image 'b' is none of image_ids"),
        (M3Exam, {"image_ids": []}, r"image_ids is \[\], not a name for each of 1 images"),
        (M3Exam, {"images": "a.png"}, "images is 'a.png', not a list"),
        (M3Exam, {"images": ["b.png"]}, "image b.png is not in "),
        (
            M3Exam,
            {"image_ids": ["a", "b"], "images": ["a.png", "b.png"], "question_text": "?"},
            "image 2 of 2: image b.png is not in ",
        ),
        (M3Exam, {"question_text": " ", "background_description": []}, "question is empty"),
        (MMBench, {"answer": "C"}, "answer 'C' is no letter from A to B"),
        (MMBench, {"B": None, "C": "forse"}, "option B is None, not a text"),
        (MMBench, {"B": "nan", "C": "forse"}, "option B is None, not a text"),
        (MMBench, {"A": "nan"}, "option A is None, not a text"),
        (MMBench, {"index": float("inf"), "answer": "C"}, "answer 'C' is no letter from A to B"),
        (MMBench, {"A": None, "B": None}, "has 0 options, not 2 to 8"),
        (MMBench, {"question": ""}, "question is empty"),
        (ScienceQA, {"answer": 2}, "answer 'C' is no letter from A to B"),
        (ScienceQA, {"answer": -1}, "answer '-1' is no letter from A to B"),
        (ScienceQA, {"answer": True}, "answer 'True' is no letter from A to B"),
        (ScienceQA, {"choices": None}, "choices is None, not a list of texts"),
        (SeedBenchCircular, {"answer": "4"}, "answer '4' is no letter from A to D"),
        (Mme, {"answer": "forse"}, "answer 'forse' is neither sì nor no"),
        (Mme, {"question_id": ""}, "question_id is empty"),
        (Mme, {"category": "color"}, "question_id and category 'color a' are in 1 rows, not 2"),
    ],
)
def test_a_broken_row_is_refused_by_its_number_and_reason(kind, changes, said, tmp_path):
    task, row = good_row(kind)
    assert len(task.process_docs(write(tmp_path, row, row)))
    with pytest.raises(TaskDataError, match=rf"test\.jsonl rows? .*2: {said}.* \(remedy: "):
        task.process_docs(write(tmp_path, row, row | changes))


@pytest.mark.parametrize("kind", [M3Exam, MMBench, ScienceQA, SeedBenchCircular, Mme])
def test_a_row_that_lacks_a_field_is_refused_by_its_number(kind, tmp_path):
    task, row = good_row(kind)
    whole = [row, row]
    for field in row.keys() - {"image", "images", "index"}:
        lacking = {name: value for name, value in row.items() if name != field}
        with pytest.raises(
            TaskDataError, match=r"test\.jsonl rows? (1, 2, )?3: .*(None|are in|has 1 options|no letter)"
        ):
            task.process_docs(write(tmp_path, *whole, lacking))


def test_rows_without_an_image_are_left_out_with_a_note(tmp_path):
    task, row = good_row(ScienceQA)
    bare = row | {"image": None}
    found = task.process_docs(write(tmp_path, row, bare, row, bare))
    assert len(found) == 2
    assert found.notes == (f"{tmp_path}/test.jsonl rows 2, 4: left out: it has no image",)
    with pytest.raises(TaskDataError, match=r"rows 1, 2: left out: it has no image \(remedy: "):
        task.process_docs(write(tmp_path, bare, bare))
    task, row = good_row(M3Exam)
    found = task.process_docs(write(tmp_path, row | {"images": [], "image_ids": []}, row))
    assert len(found) == 1
    assert found.notes == (f"{tmp_path}/test.jsonl row 1: left out: it has no image",)


@pytest.mark.parametrize(
    ("kind", "twins", "same"),
    [
        (M3Exam, {"options": ["(A) 24 cm", "(B) 24  cm "]}, "option A, the right one, is also option B"),
        (M3Exam, {"options": ["(image)[a]", "(image)[a]"]}, "option A, the right one, is also option B"),
        (MMBench, {"A": "no"}, "option B, the right one, is also option A"),
        (ScienceQA, {"choices": ["x", "sì", "sì"]}, "option B, the right one, is also option C"),
        (SeedBenchCircular, {"choice_b": "d"}, "option D, the right one, is also option B"),
    ],
)
def test_a_right_option_that_stands_at_two_letters_is_noted(kind, twins, same, tmp_path):
    task, row = good_row(kind)
    found = task.process_docs(write(tmp_path, row, row | twins))
    assert found.notes == (f"{tmp_path}/test.jsonl row 2: {same}, which counts as wrong",)
    # Wrong options may be the same.
    assert task.process_docs(write(tmp_path, row, row)).notes == ()


def test_the_questions_of_a_pair_are_about_one_image_in_whatever_files(tmp_path):
    task, row = good_row(Mme)
    Image.new("RGB", (8, 8)).save(tmp_path / "same.bmp")
    Image.new("RGB", (8, 8), "white").save(tmp_path / "other.png")
    assert len(task.process_docs(write(tmp_path, row, row | {"image": "same.bmp"}))) == 2
    # That one cannot be read is said where all images are checked.
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert len(task.process_docs(write(tmp_path, row, row | {"image": "broken.png"}))) == 2
    with pytest.raises(TaskDataError, match=r"rows 1, 2: .* 'count a' are in rows with different images \("):
        task.process_docs(write(tmp_path, row, row | {"image": "other.png"}))


def test_the_questions_of_a_pair_follow_each_other(tmp_path):
    task, row = good_row(Mme)
    names = [*"abab", "c", "c"]
    rows = [row | {"question_id": name, "question": f"{n}?"} for n, name in enumerate(names)]
    found = task.process_docs(write(tmp_path, *rows))
    assert found.column("question") == ["0?", "2?", "1?", "3?", "4?", "5?"]
    assert found.column("place") == [0, 1] * 3
    assert [found.where(number) for number in (1, 2)] == [f"{tmp_path}/test.jsonl row {n}" for n in (3, 2)]


def test_rotations_that_the_data_hold_are_left_out(tmp_path):
    task, row = good_row(MMBench)
    rows = [row | {"index": index} for index in (7, 1_000_007, 8, 1_000_009)]
    found = task.process_docs(write(tmp_path, *rows))
    # 1,000,009 is a rotation of nothing that is there.
    assert found.column("index") == [7, 7, 8, 8, 1_000_009, 1_000_009]
    assert found.notes == (f"{tmp_path}/test.jsonl row 2: left out: a rotation of another row",)


def test_of_a_group_what_no_hub_has_is_left_out_with_a_note_where_its_data_are_not_there(data, tmp_path):
    part = tmp_path / "part"
    shutil.copytree(data, part)
    shutil.rmtree(part / "ndino/MMBench_IT")
    found = Benchmarks(["ndino-it-full"], data=part, cache=tmp_path)
    assert "mmbench-it" not in found.names and {"m3exam-it", "mme-it"} < {*found.names}
    assert found.notes == (f"left out, since their data are not in {part}: mmbench-it (ndino/MMBench_IT)",)
    with pytest.raises(
        SetupError, match=r"has no ndino/MMBench_IT/ for the task mmbench-it \(remedy: put it there as"
    ):
        Benchmarks(["mmbench-it"], data=part, cache=tmp_path)
    with pytest.raises(
        UsageError, match=r"ndino/MMBench_ES is not on the hub \(remedy: get it as the task's README"
    ):
        Benchmarks(["mmbench-es"])
    # Which languages a set of several has, only the hub can say.
    Benchmarks(["m3exam-pt"])


def test_a_set_of_several_languages_is_not_there_without_the_split_of_the_tasks(data, tmp_path):
    part = tmp_path / "part"
    shutil.copytree(data / M3Exam.SOURCE, part / M3Exam.SOURCE)
    shutil.copytree(data / "swap-uniba" / "MTVQA_IT", part / "swap-uniba" / "MTVQA_ES")
    found = Benchmarks(["ndino-es-native"], data=part, cache=tmp_path)
    assert found.names == ["mtvqa-es"]
    assert "m3exam-es (floschne/multimodal-m3exam)" in found.notes[0]
    said = "has no floschne/multimodal-m3exam/ with a split spanish for the task m3exam-es"
    with pytest.raises(SetupError, match=said):
        Benchmarks(["m3exam-es"], data=part, cache=tmp_path)
    assert Benchmarks(["m3exam-it"], data=part, cache=tmp_path).names == ["m3exam-it"]


BY_LIKELIHOOD = ["mmbench_likelihood-it", "m3exam_likelihood-it"]


@pytest.fixture(scope="module")
def tiny(tiny_model_folder: Path) -> LlavaNextIt:
    return LlavaNextIt(str(tiny_model_folder), device="cpu")


@pytest.mark.parametrize("name", BY_LIKELIHOOD)
def test_by_likelihood_the_letters_of_a_rows_own_options_compete(name, data, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(data)
    generated = name.replace("_likelihood", "")
    both = Benchmarks([name, generated], data=data, cache=tmp_path)
    found = both.ask(tiny, name)
    options = [both.task(name).document(number)["options"] for number in range(both.size(name))]
    assert {len(each) for each in options} >= ({2, 4} if "mmbench" in name else {4})
    for row, own in zip(found.rows, options, strict=True):
        assert [*row["letters"]] == [*"ABCDEFGH"[: len(own)]]
        assert row["answer"] == row["letter"] == max(row["letters"], key=row["letters"].__getitem__)
    assert found.metrics["unparseable"] == 0
    for number in range(both.size(name)):
        assert both.task(name).prompt(number) == both.task(generated).prompt(number)
    assert [*both.task(name).totals] == [*both.task(generated).totals]


@pytest.mark.parametrize("name", [*CIRCULAR, "mmbench_likelihood-it"])
def test_an_image_is_read_once_for_all_rotations(name, data, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(data)
    processed = []
    processor = type(tiny.processor.image_processor)
    process = processor.preprocess
    monkeypatch.setattr(processor, "preprocess", lambda *a, **k: processed.append(1) or process(*a, **k))
    found = Benchmarks([name], data=data, cache=tmp_path).ask(tiny, name)
    images = {row["image_sha256"] for row in found.rows}
    assert len(processed) == len(images) < len(found.rows) / 2


def test_a_peers_model_is_asked_them_through_the_command(
    data, tmp_path, monkeypatch, tiny_model_folder, capsys
):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "1")  # the command sets them for its own process
    ask = ["--model", f"peer={tiny_model_folder}", "--backend", "lmms:llava_hf", "--batch", 1]
    ask += ["--data", data, "--out", tmp_path, "--tasks", ",".join(TASKS), "--limit", 2, "--shuffle"]
    assert evaluate([str(argument) for argument in ask]) == 0
    # All rotations of two questions, and two questions about each of two images.
    asked = {**dict.fromkeys(TASKS, 2), **dict.fromkeys(CIRCULAR, 8), "mme-it": 4}
    counts = re.findall(r"^\| peer +\| (\S+) +\| +(\d+) \|", capsys.readouterr().out, re.MULTILINE)
    assert dict(counts) == {name: "4" if name == "mme-it" else "2" for name in TASKS}
    read_model(tmp_path / "peer")
    found = results(tmp_path / "peer")["tasks"]
    assert {*found} == {*TASKS}
    for name in TASKS:
        logs = [log(tmp_path / "peer" / f"{name}{control}.jsonl") for control in ("", ".shuffled")]
        assert [len(rows) for rows in logs] == [asked[name]] * 2 and found[name]["n"] == asked[name]
        assert [row["doc_hash"] for row in logs[0]] == [row["doc_hash"] for row in logs[1]]
    assert list(found["mmbench-it"]["metrics"]) == ["circular", "plain", "robust", "unparseable"]
    rows = log(tmp_path / "peer" / "mmbench-it.jsonl")
    assert [(row["question_group"], row["rotation"]) for row in rows] == [
        (question, turn) for question in "01" for turn in range(4)
    ]
    assert all("letter" in row for row in rows)
