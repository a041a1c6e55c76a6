"""Tasks of a language that has nothing but its file, in real lmms-eval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.lmms_eval_adapter.task_index import TaskIndex
from ndino.evaluation.tasks.framework.templates import TEMPLATES, languages_to_write, write_tasks
from ndino.evaluation.tasks.pope import Pope
from ndino.languages.language import language
from tests.evaluation.answerer import Answerer, guess, see
from tests.evaluation.benchmarks import write_benchmarks
from tests.languages.copies import language_file
from tests.languages.shipped import WITH_TASKS

# Italian under a code that no file names, with instructions of its own.
SHORT, LETTER = "\nParola?", "\nLa lettera?"
TASKS = ["gqa", "ok-vqa", "seedbench", "mtvqa", "exams-v", "pope", "llava-bench"]
PARTS = ["pope_adv", "pope_pop", "pope_random"]
# In no group.
OTHERS = ["seedbench_likelihood", "mmbench_likelihood", "m3exam_likelihood", "xm3600", "m-wildvision"]
CHOICES = ["m3exam", "mmbench", "scienceqa", "mme", "seedbench_circular"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benchmarks]:
    """The tasks in Italian and in the other language, on the same questions."""
    data, cache = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("cache")
    for code in ("it", "q-a"):
        write_benchmarks(data, rows=4, code=code)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("languages")
        language_file(patch, folder, "q-a", short_answer=SHORT, letter_answer=LETTER)
        patch.chdir(data)
        names = [f"{name}-{code}" for name in ("ndino", "pope_full") for code in ("it", "q-a")]
        yield Benchmarks(names, data=data, cache=cache)


def test_a_language_has_every_task_and_both_groups(both):
    assert set(both.groups["ndino-q-a"]) == {f"{name}-q-a" for name in TASKS}
    assert both.groups["pope_full-q-a"] == [f"{name}-q-a" for name in PARTS]


@pytest.mark.parametrize("name", [*TASKS, *PARTS])
def test_a_task_asks_with_its_languages_instruction_and_scores_like_the_italian_one(both, name):
    italian, other = both.task(f"{name}-it"), both.task(f"{name}-q-a")
    assert (italian.code, other.code) == ("it", "q-a")
    assert both.index.config(f"{name}-q-a")["dataset_path"].lower().endswith("q-a")
    question = italian.prompt(0).partition("\nRispondi")[0]
    asked_for = {"llava-bench": "", "seedbench": LETTER, "exams-v": LETTER}.get(name, SHORT)
    assert other.prompt(0) == question + asked_for
    assert (other.version, other.settings, [*other.totals]) == (
        *(italian.version, italian.settings),
        [*italian.totals],
    )
    for answer in (see, guess):
        one, two = (both.ask(Answerer(answer), f"{name}-{code}") for code in ("it", "q-a"))
        shares = {metric for metric in one.metrics if "language" in metric or metric == "in_english"}
        assert {**one.metrics, **dict.fromkeys(shares)} == {**two.metrics, **dict.fromkeys(shares)}
        # The answers are Italian, and a made-up language cannot be told from it.
        assert len(shares) == (4 if name == "llava-bench" else 0)
        assert not shares or two.metrics["language_undecided"] == 1
        logged = [
            [(row["question"], row["answer"], row["target"]) for row in each.rows] for each in (one, two)
        ]
        assert logged[0] == logged[1]


def test_files_written_for_lmms_evals_own_command_line_name_the_templates_language_nowhere(
    tmp_path, monkeypatch
):
    language_file(monkeypatch, tmp_path, "q-b")
    written = write_tasks("q-b", tmp_path / "tasks")
    files = [path for path in written.rglob("*") if path.is_file()]
    made = {path.relative_to(written).as_posix() for path in files}
    templates = {path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.yaml")}
    assert {name.replace("_it", "_q-b") for name in templates} < made
    texts = "".join(path.read_text(encoding="utf-8") for path in files)
    assert "task: pope_adv-q-b" in texts and 'Pope("q-b")' in texts
    assert not any(word in texts for word in ("-it\n", "_IT", "_it_", '"it"'))


def test_lmms_evals_own_task_manager_finds_the_written_tasks(tmp_path):
    from lmms_eval.tasks import TaskManager
    from lmms_eval.utils import load_yaml_config

    manager = TaskManager("WARNING", include_path=str(write_tasks("es", tmp_path)), include_defaults=False)
    assert manager.all_groups == ["ndino-es", "ndino-es-full", "ndino-es-native", "pope_full-es"]
    assert manager.all_subtasks == sorted(f"{name}-es" for name in (*TASKS, *PARTS, *OTHERS, *CHOICES))
    config = load_yaml_config(manager.task_index["gqa-es"]["yaml_path"], mode="full")
    assert config["doc_to_text"]({"sent": "¿Qué?"}) == "¿Qué?\nResponde con una sola palabra o frase."


@pytest.mark.parametrize("code", WITH_TASKS)
def test_yes_and_no_of_every_language_are_read_in_its_tasks(code):
    task, words = Pope(code), language(code)
    said = {
        gold: [
            task.process_results({"answer": gold}, [each])["robust"] for each in (words.yes[0], words.no[0])
        ]
        for gold in (words.yes[0], words.no[0])
    }
    assert [*said.values()] == [[1, 0], [0, 1]]
    assert task.doc_to_text({"question": "?"}).startswith("?\n")


def test_what_the_data_commands_write_is_where_the_tasks_look():
    from ndino.data.io.evaluation_folders import SETS
    from ndino.evaluation.tasks.exams_v import ExamsV
    from ndino.evaluation.tasks.gqa import Gqa
    from ndino.evaluation.tasks.llava_bench import LlavaBench
    from ndino.evaluation.tasks.mtvqa import Mtvqa
    from ndino.evaluation.tasks.ok_vqa import OkVqa
    from ndino.evaluation.tasks.seed_bench import SeedBench

    tasks = {
        "OK-VQA": OkVqa, "SEED-Bench": SeedBench, "POPE": Pope, "LLaVA-Bench": LlavaBench,
        "mtvqa": Mtvqa, "exams-v": ExamsV, "GQA": Gqa,
    }  # fmt: skip
    assert {name: Path(SETS[name].folder_in("es")) for name in tasks} == {
        name: Path(task("es").source) for name, task in tasks.items()
    }


@pytest.mark.parametrize(
    ("code", "split", "configuration"),
    [("es", "es", "spa_Latn"), ("sr", "sr", "srp_Cyrl"), ("q-c", "q-c", "q-c"), ("nb", "no", "nob_Latn")],
)
def test_a_set_that_calls_a_language_by_another_name_is_asked_for_by_that(
    tmp_path, monkeypatch, code, split, configuration
):
    changes = {"codes": {"xm3600": "no"}} if code == "nb" else {}
    if code not in ("es", "sr"):
        (tmp_path / "languages").mkdir()
        language_file(monkeypatch, tmp_path / "languages", code, **changes)
    index = TaskIndex([f"xm3600-{code}"])
    captions, requests = (index.config(f"{name}-{code}") for name in ("xm3600", "m-wildvision"))
    assert captions["test_split"] == split
    assert captions["dataset_kwargs"] == {"data_files": {split: f"data/{split}-*.parquet"}}
    assert requests["dataset_name"] == configuration
    assert captions["dataset_path"] == "floschne/xm3600"
    exams, name = index.config(f"m3exam-{code}"), language(code).name.lower()
    assert (exams["dataset_path"], exams["test_split"]) == ("floschne/multimodal-m3exam", name)
    assert exams["dataset_kwargs"] == {"data_files": {name: f"data/{name}-*.parquet"}}


def test_groups_whose_code_stands_inside_their_name_are_written_too():
    names = ["ndino-it-native", "ndino-it-full", "pope-it"]
    assert languages_to_write(["ndino-es-native", "pope-ca", "ndino-it-full"], names) == ["ca", "es"]
    assert languages_to_write(["ndino-native", "ndino-xx-native"], names) == []
    index = TaskIndex(["ndino-es-native", "ndino-it-native"])
    native = index.parts("ndino-it-native") or []
    assert index.parts("ndino-es-native") == [f"{name.removesuffix('-it')}-es" for name in native]
