"""The tasks as real lmms-eval loads them from the installed package, on local data."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from lmms_eval.tasks import TaskManager

from ndino.evaluation.tasks.framework.preparation import TaskDataError
from tests.evaluation.answerer import Answerer, guess, metrics, see
from tests.evaluation.benchmarks import description, draw_image
from tests.languages.test_answers import ODD
from tests.properties import examples

SHORT = "\nRispondi utilizzando una sola parola o frase."
LETTER = "\nRispondi utilizzando la lettera dell'opzione corretta."
POPE = ["pope-it", "pope_adv-it", "pope_pop-it", "pope_random-it"]
SHORT_ANSWERS = ["gqa-it", "ok-vqa-it", "seedbench-it", "mtvqa-it", "exams-v-it", *POPE]
TASKS = [*SHORT_ANSWERS, "llava-bench-it"]
PROMPTS = {
    **dict.fromkeys(["gqa-it", "ok-vqa-it", "mtvqa-it"], "Di che colore è?" + SHORT),
    **dict.fromkeys(POPE, "C'è del rosso nell'immagine?" + SHORT),
    "exams-v-it": "Di che colore è?" + LETTER,
    "seedbench-it": "Di che colore è?\nA. rosso\nB. verde\nC. blu\nD. giallo" + LETTER,
    "llava-bench-it": "Descrivi l'immagine.",
}
VERSIONS = {"llava-bench-it": 2.0}
NEW_TOKENS = {**dict.fromkeys([*POPE, "seedbench-it"], 128), "llava-bench-it": 512}


def test_lmms_eval_finds_every_task_and_both_groups_by_itself():
    found = TaskManager("WARNING").task_index
    assert {"ndino-it", "pope_full-it", *TASKS} <= set(found)


def test_the_group_is_the_papers_benchmarks(benchmarks):
    seven = {*TASKS} - {"pope_adv-it", "pope_pop-it", "pope_random-it"}
    assert set(benchmarks.groups["ndino-it"]) == seven
    assert set(benchmarks.names) == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_prompt_and_settings_are_the_papers(benchmarks, name):
    task = benchmarks.task(name).task
    assert task.doc_to_text(task.eval_docs[0]) == PROMPTS[name]
    settings = task.config.generation_kwargs
    assert settings["max_new_tokens"] == NEW_TOKENS.get(name, 16)
    assert (settings["temperature"], settings["num_beams"], settings["do_sample"]) == (0, 1, False)
    assert VERSIONS.get(name, 3.0) == task.VERSION


@pytest.mark.parametrize("name", TASKS)
def test_a_seeing_model_gets_everything_right_and_loses_it_with_wrong_images(benchmarks, name):
    right = benchmarks.ask(Answerer(see), name)
    wrong = benchmarks.ask(Answerer(see), name, "shuffled")
    first, score = next(iter(right.metrics.items()))
    assert score == right.metrics.get("robust", 1) == 1
    assert wrong.metrics[first] < 1
    # With four images, two of POPE's wrong ones have no red in them, either; descriptions share words.
    if name not in (*POPE, "llava-bench-it"):
        assert wrong.metrics[first] == 0


@pytest.mark.parametrize("name", TASKS)
def test_a_blind_model_scores_the_same_and_documents_stay_the_same(benchmarks, name):
    right = benchmarks.ask(Answerer(guess), name)
    wrong = benchmarks.ask(Answerer(guess), name, "shuffled", right=right.rows)
    assert right.metrics == wrong.metrics
    images = [row.pop("image_sha256") for row in right.rows], [row.pop("image_sha256") for row in wrong.rows]
    assert all(shown != given for shown, given in zip(*images, strict=True))
    assert [{**row, "shuffled": True} for row in right.rows] == wrong.rows
    assert len({row["doc_hash"] for row in right.rows}) == len(right.rows)


@pytest.mark.parametrize("name", TASKS)
def test_no_question_keeps_its_image(benchmarks, name):
    shown: dict[str, list[bytes]] = {control: [] for control in ("", "shuffled", "shuffled-2", "blank")}

    def remember(control: str):
        return lambda context, draw_image: shown[control].append(draw_image.tobytes()) or ""

    for control in shown:
        benchmarks.ask(Answerer(remember(control)), name, control)
    right, first, second, blank = shown.values()
    assert len(right) == benchmarks.size(name)
    assert all(own not in wrong for own, *wrong in zip(right, first, second, blank, strict=True))
    assert first != second and {*first} == {*second} == {*right}
    assert all({*image} == {128} for image in blank) and [*map(len, blank)] == [*map(len, right)]


@pytest.mark.parametrize("name", TASKS)
def test_no_answer_kills_a_run_and_nonsense_is_wrong(benchmarks, name):
    task = benchmarks.task(name).task
    answers = iter(ODD * 10)
    odd = benchmarks.ask(Answerer(lambda context, draw_image: next(answers)), name)
    assert len(odd.rows) == benchmarks.size(name)
    for answer in ODD:
        # The evaluator's aggregation, too: the released POPE died there, after all inference.
        scored = metrics(benchmarks, name, answer, doc=3)
        if name != "llava-bench-it":  # a letter of the alphabet is in the reference, too
            assert next(iter(scored.values())) == scored["robust"] == 0
        for metric, total in task.aggregation().items():
            assert 0 <= total([scored[metric]]) <= 1
    if name == "llava-bench-it":
        assert [metrics(benchmarks, name, said)["unparseable"] for said in (" .\x00", "boh")] == [1, 0]
    elif "unparseable" in task.aggregation():
        assert metrics(benchmarks, name, "boh")["unparseable"] == 1
        assert metrics(benchmarks, name, "B" if name not in POPE else "no")["unparseable"] == 0


def test_the_best_constant_answer(benchmarks):
    assert benchmarks.majority("gqa-it") == {"exact_match": 0.25, "robust": 0.25, "contains": 0.25}
    assert benchmarks.majority("pope-it")["pope_accuracy"] == 0.75
    assert benchmarks.majority("ok-vqa-it")["exact_match"] == 0.25


def test_data_that_does_not_fit_its_schema_is_rejected_with_the_reason(benchmarks):
    from datasets import Dataset

    def process(name):
        return benchmarks.task(name).task.config.process_docs

    with pytest.raises(TaskDataError, match="swap-uniba/MTVQA_IT: no column question"):
        process("mtvqa-it")(Dataset.from_dict({"image": [draw_image(0)], "answer": ["rosso"]}))
    with pytest.raises(TaskDataError, match="no rows"):
        process("mtvqa-it")(Dataset.from_dict({"image": [], "question": [], "answer": []}))
    shown = [draw_image(0), draw_image(1)]
    pope = {"image": shown, "question": ["?", "?"], "answer": ["sì", "maybe"], "category": ["random", "x"]}
    with pytest.raises(TaskDataError, match="row 1: image is 1, neither an image nor a file's name"):
        process("pope-it")(Dataset.from_dict(pope | {"image": [1, 2]}))
    with pytest.raises(TaskDataError, match="row 2: answer 'maybe'"):
        process("pope-it")(Dataset.from_dict(pope))
    with pytest.raises(TaskDataError, match="no row has the category popular"):
        process("pope_pop-it")(Dataset.from_dict(pope))
    label = '{"rosso": 1.0}'
    gqa = {"img_id": ["n0", "n99"], "sent": ["?", "?"], "label": [label, label]}
    with pytest.raises(TaskDataError, match=r"row 2: image n99 is not in lmms-lab/GQA"):
        process("gqa-it")(Dataset.from_dict(gqa))


@pytest.mark.parametrize(
    ("name", "column", "value", "said"),
    [
        ("mtvqa-it", "answer", 3, "answer is 3, not a text"),
        ("mtvqa-it", "question", None, "question is None, not a text"),
        ("seedbench-it", "choice_d", None, "choice_d is None, not a text"),
        ("ok-vqa-it", "answers", "rosso", "answers is 'rosso', not a list of texts"),
        ("ok-vqa-it", "answers", [None], r"answers is \[None\], not a list of texts"),
        ("gqa-it", "answer", None, "answer is None, not a text"),
        ("gqa-it", "answer", "", "answer is empty: ''"),
        ("mtvqa-it", "answer", "", "answer is empty: ''"),
        ("mtvqa-it", "question", "\n", "question is empty: '.*'"),
        ("seedbench-it", "answer", "", "answer is empty: ''"),
        ("exams-v-it", "answer", " ", "answer is empty: ' '"),
        ("ok-vqa-it", "answers", [], r"answers is empty: \[\]"),
        ("ok-vqa-it", "answers", ["rosso", ""], r"answers is empty: \['rosso', ''\]"),
        ("pope-it", "answer", "", "answer is empty: ''"),
        ("llava-bench-it", "gpt_answer", "", "gpt_answer is empty: ''"),
        ("gqa-it", "img_id", 7, "img_id is 7, not a text"),
        ("gqa-it", "label", "rosso", "no answer in label 'rosso'"),
        ("gqa-it", "label", "null", "no answer in label 'null'"),
        ("gqa-it", "label", "{}", "no answer in label '{}'"),
        ("llava-bench-it", "question", " ", "question is empty"),
    ],
)
def test_rows_that_cannot_be_scored_are_rejected_before_inference(benchmarks, name, column, value, said):
    from datasets import Dataset

    task = benchmarks.task(name).task
    row = {**task.eval_docs[0], column: value}
    if column != "label":
        row.pop("label", None)
    row.setdefault("answer", "rosso") if name == "gqa-it" and column == "img_id" else None
    rows = Dataset.from_list([row])
    with pytest.raises(TaskDataError, match=f"row 1: {said}"):
        task.config.process_docs(rows)


@pytest.mark.parametrize("label", [None, {}, {"rosso": 0.0}, {"": 1.0}, "", "rosso", "[1]", '{"": 1.0}'])
def test_a_question_of_gqa_without_an_answer_is_rejected_with_its_row(benchmarks, label):
    from datasets import Dataset

    task = benchmarks.task("gqa-it").task
    texts = isinstance(label, str)
    good = '{"rosso": 1.0}' if texts else {"rosso": 1.0}
    rows = Dataset.from_list([{**task.eval_docs[0], "label": each} for each in (good, label)])
    with pytest.raises(TaskDataError, match=r"crux82/gqa-it row 2: no answer in .* \(remedy: "):
        task.config.process_docs(rows)


def test_a_question_of_gqa_that_is_empty_is_rejected_with_its_row(benchmarks):
    from datasets import Dataset

    task = benchmarks.task("gqa-it").task
    with pytest.raises(TaskDataError, match="row 1: sent is empty: ' '"):
        task.config.process_docs(Dataset.from_list([{**task.eval_docs[0], "sent": " "}]))


def test_an_option_may_be_empty(benchmarks):
    from datasets import Dataset

    task = benchmarks.task("seedbench-it").task
    assert len(task.config.process_docs(Dataset.from_list([{**task.eval_docs[0], "choice_d": ""}]))) == 1


@pytest.mark.parametrize("name, last", [("seedbench-it", "D"), ("exams-v-it", "H")])
def test_texts_of_options_instead_of_letters_are_rejected_but_a_single_odd_row_is_not(benchmarks, name, last):
    from datasets import Dataset

    task = benchmarks.task(name).task
    row = task.eval_docs[0]
    odd = [{**row, "answer": text} for text in ("un gatto", "9")]
    with pytest.raises(TaskDataError, match=f"a letter from A to {last}; row 1 has 'un gatto'"):
        task.config.process_docs(Dataset.from_list(odd))
    assert len(task.config.process_docs(Dataset.from_list([*odd, {**row, "answer": " b "}]))) == 3


# Half of a surrogate pair is what some tokenizers' bytes decode to.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(ANY_TEXT, min_size=1, max_size=3))
def test_any_answers_have_scores_from_0_to_1(benchmarks, answers):
    for name in TASKS:
        task = benchmarks.task(name).task
        scored = [metrics(benchmarks, name, answer, doc=i) for i, answer in enumerate(answers)]
        for metric, total in task.aggregation().items():
            assert 0 <= total([each[metric] for each in scored]) <= 1


def test_a_long_answer_scores_what_it_shares_with_the_reference(benchmarks):
    def chrf(answer):
        return metrics(benchmarks, "llava-bench-it", answer)["chrf"]

    reference = description("rosso")
    assert chrf(reference) == chrf(reference.upper()) == chrf(f" {reference}\n") == 1
    assert 1 > chrf(description("verde")) > chrf("Una superficie rossa.") > chrf("Un cane corre.") > 0
    assert chrf("") == chrf("...") == 0
    # Characters "gatto" in "ilgatto": all n-grams found; of its own, 5/7, 4/6, 3/5, 2/4 and 1/3.
    recall = (5 / 7 + 4 / 6 + 3 / 5 + 2 / 4 + 1 / 3) / 5
    task = benchmarks.task("llava-bench-it").task
    scored = task.process_results({"gpt_answer": "Il gatto"}, ["gatto"])
    assert scored["chrf"] == pytest.approx(5 * recall / (4 + recall))
