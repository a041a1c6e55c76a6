"""The tasks as real lmms-eval loads them from the installed package, on local data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lmms_eval.tasks import TaskManager

from ndino.evaluation.benchmarks import Benchmarks
from ndino.tasks import TaskDataError
from tests.answerer import Answerer, guess, see
from tests.benchmarks import COLOURS, description
from tests.test_answers import ODD

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
NEW_TOKENS = {**dict.fromkeys([*POPE, "seedbench-it"], 128), "llava-bench-it": 512}


@pytest.fixture(scope="module")
def benchmarks(benchmark_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Benchmarks:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(benchmark_folder)
        cache = tmp_path_factory.mktemp("cache")
        loaded = Benchmarks(["ndino-it", "pope_full-it"], data=benchmark_folder, cache=cache)
        loaded.load(shuffled=False)
        loaded.load(shuffled=True)
        yield loaded


def metrics(benchmarks: Benchmarks, name: str, answer: str, doc: int = 0) -> dict:
    task = benchmarks.task(name, shuffled=False)
    return task.process_results(task.eval_docs_no_media[doc], [answer])


def test_lmms_eval_finds_every_task_and_both_groups_without_being_told_where():
    found = TaskManager("WARNING").task_index
    assert {"ndino-it", "pope_full-it", *TASKS} <= set(found)


def test_the_group_is_the_papers_benchmarks(benchmarks):
    seven = {*TASKS} - {"pope_adv-it", "pope_pop-it", "pope_random-it"}
    assert set(benchmarks.groups["ndino-it"]) == seven
    assert set(benchmarks.names) == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_prompt_and_settings_are_the_papers(benchmarks, name):
    task = benchmarks.task(name, shuffled=False)
    assert task.doc_to_text(task.eval_docs[0]) == PROMPTS[name]
    settings = task.config.generation_kwargs
    assert settings["max_new_tokens"] == NEW_TOKENS.get(name, 16)
    assert (settings["temperature"], settings["num_beams"], settings["do_sample"]) == (0, 1, False)
    assert task.VERSION == 1.0
    assert "token" not in (task.config.dataset_kwargs or {})


@pytest.mark.parametrize("name", TASKS)
def test_a_seeing_model_gets_everything_right_and_loses_it_with_wrong_pictures(benchmarks, name):
    right = benchmarks.ask(Answerer(see), name, shuffled=False)
    wrong = benchmarks.ask(Answerer(see), name, shuffled=True)
    first, score = next(iter(right.metrics.items()))
    assert score == right.metrics.get("robust", 1) == 1
    assert wrong.metrics[first] < 1
    # With four pictures, two of POPE's wrong ones have no red in them, either; descriptions share words.
    if name not in (*POPE, "llava-bench-it"):
        assert wrong.metrics[first] == 0


@pytest.mark.parametrize("name", TASKS)
def test_a_blind_model_scores_the_same_and_documents_stay_the_same(benchmarks, name):
    right = benchmarks.ask(Answerer(guess), name, shuffled=False)
    wrong = benchmarks.ask(Answerer(guess), name, shuffled=True)
    assert right.metrics == wrong.metrics
    assert [{**row, "shuffled": True} for row in right.rows] == wrong.rows
    assert len({row["doc_hash"] for row in right.rows}) == len(right.rows)


@pytest.mark.parametrize("name", TASKS)
def test_no_question_keeps_its_picture(benchmarks, name):
    shown = {False: [], True: []}

    def remember(shuffled: bool):
        return lambda context, picture: shown[shuffled].append(picture.tobytes()) or ""

    for shuffled in shown:
        benchmarks.ask(Answerer(remember(shuffled)), name, shuffled=shuffled)
    assert len(shown[False]) == benchmarks.size(name)
    assert all(right != wrong for right, wrong in zip(shown[False], shown[True], strict=True))


@pytest.mark.parametrize("name", TASKS)
def test_no_answer_kills_a_run_and_nonsense_is_wrong(benchmarks, name):
    task = benchmarks.task(name, shuffled=False)
    answers = iter(ODD * 10)
    odd = benchmarks.ask(Answerer(lambda context, picture: next(answers)), name, shuffled=False)
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


@pytest.mark.parametrize(
    ("name", "answer", "paper", "robust"),
    [
        ("gqa-it", "ROSSO!", 1, 1),
        ("gqa-it", "«rosso»", 0, 1),
        ("gqa-it", "il rosso", 0, 1),
        ("gqa-it", "rossa", 0, 0),
        ("mtvqa-it", "rosso.", 1, 1),
        ("mtvqa-it", "È rosso", 0, 0),
        ("ok-vqa-it", "Rosso", 1, 1),
        ("ok-vqa-it", "un rosso", 0, 1),
        ("ok-vqa-it", "a rosso", 1, 0),
        ("exams-v-it", "(a)", 1, 1),
        ("exams-v-it", "La risposta è A", 0, 1),
        ("exams-v-it", "B", 0, 0),
        ("seedbench-it", "A. rosso", 1, 1),
        ("seedbench-it", "Albero", 1, 0),
        ("seedbench-it", "(A)", 0, 1),
        ("seedbench-it", "Opzione A.", 0, 1),
        ("seedbench-it", "Rosso", 0, 1),
        ("pope-it", "Sì.", 1, 1),
        ("pope-it", "si", 0, 1),
        ("pope-it", "si\u0300", 0, 1),
        ("pope-it", "Sì, c'è", 0, 1),
        ("pope-it", "no", 0, 0),
        ("pope-it", "", 0, 0),
    ],
)
def test_the_papers_score_is_as_strict_as_released_and_the_robust_one_is_not(
    benchmarks, name, answer, paper, robust
):
    scored = metrics(benchmarks, name, answer)
    assert (next(iter(scored.values())), scored["robust"]) == (paper, robust)


def test_vqa_accuracy_needs_three_others_of_the_same_opinion(benchmarks):
    task = benchmarks.task("ok-vqa-it", shuffled=False)
    document = {"answers": ["due", "2", "due", "tre", *["quattro"] * 6]}
    before = json.dumps(document)
    scored = task.process_results(document, ["due"])
    # Three say so in all spellings: of ten who are left out, seven leave three, three leave two.
    assert scored["robust"] == pytest.approx((7 * 1 + 3 * 2 / 3) / 10)
    # The English normaliser does not know "due": two of ten.
    assert scored["exact_match"] == pytest.approx((8 * 2 / 3 + 2 * 1 / 3) / 10)
    assert json.dumps(document) == before
    assert task.process_results({"answers": ["due"]}, ["2"])["robust"] == 1


def pope_totals(benchmarks: Benchmarks, pairs: list[tuple[str, str]]) -> dict[str, float]:
    task = benchmarks.task("pope-it", shuffled=False)
    scored = [task.process_results({"answer": gold}, [said]) for gold, said in pairs]
    return {name: total([s[name] for s in scored]) for name, total in task.aggregation().items()}


def test_popes_numbers_as_released_and_as_they_should_be(benchmarks):
    found = pope_totals(
        benchmarks,
        [
            ("sì", "sì"),
            ("sì", "Sì, c'è"),
            ("sì", "no"),
            ("sì", "boh"),
            ("no", "sì"),
            ("no", "no"),
            ("no", ""),
        ],
    )
    assert found == pytest.approx(
        {
            "pope_accuracy": 2 / 7,
            "pope_precision": 1 / 2,
            "pope_recall": 1 / 2,  # "boh" and "Sì, c'è" are left out
            "pope_f1_score": 1 / 2,
            "pope_yes_ratio": 4 / 7,  # of the right answers
            "robust": 3 / 7,
            "robust_precision": 2 / 3,
            "robust_recall": 2 / 4,
            "robust_f1_score": 4 / 7,
            "robust_yes_ratio": 3 / 7,  # of the model's
            "unparseable": 2 / 7,
        }
    )


def test_popes_parts_and_their_total(benchmarks):
    task = benchmarks.task("pope_adv-it", shuffled=False)
    assert set(task.eval_docs["category"]) == {"adversarial"}
    parts = {name: benchmarks.ask(Answerer(guess), name, shuffled=False).metrics for name in POPE}
    total = benchmarks.totals("pope_full-it", parts)
    assert total["pope_accuracy"] == parts["pope-it"]["pope_accuracy"] == 0.25
    assert total["pope_f1_score"] == pytest.approx(0.4)
    assert benchmarks.totals("ndino-it", {name: {"robust": 1.0} for name in TASKS}) == {}


def test_the_best_constant_answer(benchmarks):
    assert benchmarks.majority("gqa-it") == {"exact_match": 0.25, "robust": 0.25}
    assert benchmarks.majority("pope-it")["pope_accuracy"] == 0.75
    assert benchmarks.majority("ok-vqa-it")["exact_match"] == 0.25


@pytest.mark.parametrize(
    ("label", "target"),
    [
        ({"label": '{"rosso": 1.0}'}, "rosso"),
        ({"label": {"rosso": 1.0, "blu": None}}, "rosso"),
        ({"label": {"rosso": 1.0, "blu": 0.3}}, ["rosso", "blu"]),
        ({"answer": "rosso"}, "rosso"),
    ],
)
def test_gqa_reads_every_form_of_its_labels(benchmarks, label, target):
    task = benchmarks.task("gqa-it", shuffled=False)
    assert task.doc_to_target({"img_id": "n0", "sent": "?", **label}) == target
    assert task.process_results(label, ["il rosso"]) == {"exact_match": 0, "robust": 1}


def test_gqa_decodes_only_the_picture_in_hand(benchmarks, monkeypatch):
    from datasets.features import Image as ImageFeature

    decoded = []
    decode = ImageFeature.decode_example
    monkeypatch.setattr(ImageFeature, "decode_example", lambda *a, **k: decoded.append(1) or decode(*a, **k))
    task = benchmarks.task("gqa-it", shuffled=False)
    (picture,) = task.doc_to_visual(task.eval_docs[2])
    assert picture.getpixel((0, 0)) == COLOURS["blu"]
    assert len(decoded) == 1


def test_data_that_does_not_fit_is_refused_with_the_reason(benchmarks):
    from datasets import Dataset

    def process(name):
        return benchmarks.task(name, shuffled=False).config.process_docs

    with pytest.raises(TaskDataError, match="swap-uniba/MTVQA_IT: no column question"):
        process("mtvqa-it")(Dataset.from_dict({"image": [], "answer": []}))
    with pytest.raises(TaskDataError, match="no rows"):
        process("mtvqa-it")(Dataset.from_dict({"image": [], "question": [], "answer": []}))
    pope = {"image": [1, 2], "question": ["?", "?"], "answer": ["sì", "maybe"], "category": ["random", "x"]}
    with pytest.raises(TaskDataError, match="row 1: answer 'maybe'"):
        process("pope-it")(Dataset.from_dict(pope))
    with pytest.raises(TaskDataError, match="no row has the category popular"):
        process("pope_pop-it")(Dataset.from_dict(pope))
    gqa = {"img_id": ["n0", "n99"], "sent": ["?", "?"], "label": ["{}", "{}"]}
    with pytest.raises(TaskDataError, match=r"row 1: image n99 is not in lmms-lab/GQA"):
        process("gqa-it")(Dataset.from_dict(gqa))


def test_a_long_answer_scores_what_it_shares_with_the_reference(benchmarks):
    def chrf(answer):
        return metrics(benchmarks, "llava-bench-it", answer)["chrf"]

    reference = description("rosso")
    assert chrf(reference) == chrf(reference.upper()) == chrf(f" {reference}\n") == 1
    assert 1 > chrf(description("verde")) > chrf("Una superficie rossa.") > chrf("Un cane corre.") > 0
    assert chrf("") == chrf("...") == 0
    # Characters "gatto" in "ilgatto": all n-grams found; of its own, 5/7, 4/6, 3/5, 2/4 and 1/3.
    recall = (5 / 7 + 4 / 6 + 3 / 5 + 2 / 4 + 1 / 3) / 5
    task = benchmarks.task("llava-bench-it", shuffled=False)
    scored = task.process_results({"gpt_answer": "Il gatto"}, ["gatto"])
    assert scored["chrf"] == pytest.approx(5 * recall / (4 + recall))
