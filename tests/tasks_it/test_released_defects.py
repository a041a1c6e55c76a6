"""What the tasks released with the paper get wrong or die of, one by one; each test fails on their behaviour.

``tests/golden/released_scores.json`` holds what the released code makes of the same answers
(``tests/golden/make_released_scores.py``). The released mBLIP wrapper, which cannot be loaded and does not
see the image, has its tests in ``tests/overlay/test_mblip.py``.
"""

from __future__ import annotations

import json

import pytest
from lmms_eval.evaluator import simple_evaluate

from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.tasks.framework import gqa_images
from tests.evaluation.answerer import Answerer, guess, metrics
from tests.evaluation.benchmarks import COLOURS
from tests.golden.make_released_scores import DEFECTS, GOLDEN, ORDINARY, SPACED

POPE = ["pope-it", "pope_adv-it", "pope_pop-it", "pope_random-it"]
RELEASED = json.loads(GOLDEN.read_text(encoding="utf-8"))
# Where the released score is too good; everywhere else among the defects it is too bad.
FLATTERED = {("seedbench-it", "Cavallo"), ("ok-vqa-it", "a casa")}


def rows(kind: str, name: str) -> list[dict]:
    return RELEASED[kind][name]["rows"] if kind == "ordinary" else RELEASED[kind][name]


def asked(table: dict, name: str) -> list[tuple[dict, str]]:
    return [(document, answer) for document, answers in table[name] for answer in answers]


# All tasks: ordinary answers keep the paper's scores.


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_answers_score_as_with_the_released_code(benchmarks, name):
    task = benchmarks.task(name).task
    golden = rows("ordinary", name)
    assert [(row["document"], row["answer"]) for row in golden] == asked(ORDINARY, name)
    totals = task.aggregation()
    made = []
    for row in golden:
        made.append(task.process_results(row["document"], [row["answer"]]))
        assert {m: totals[m]([made[-1][m]]) for m in row["scores"]} == pytest.approx(row["scores"]), row
    expected = RELEASED["ordinary"][name]["totals"]
    assert {m: totals[m]([each[m] for each in made]) for m in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", ORDINARY)
def test_white_space_scores_as_with_the_released_code_within_lmms_eval_and_without_it(benchmarks, name):
    task = benchmarks.task(name).task
    assert [(row["document"], row["answer"]) for row in RELEASED["spaced"][name]] == asked(SPACED, name)
    for row in RELEASED["spaced"][name]:
        for score in (task.process_results, task.config.process_results):
            made = score(row["document"], [row["answer"]])
            found = {metric: task.aggregation()[metric]([made[metric]]) for metric in row["scores"]}
            assert found == pytest.approx(row["scores"]), row


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name in DEFECTS for i in range(len(asked(DEFECTS, name)))]
)
def test_the_robust_score_is_right_where_the_released_one_is_wrong(benchmarks, name, number):
    row = rows("defects", name)[number]
    task = benchmarks.task(name).task
    scored = task.process_results(row["document"], [row["answer"]])
    paper = next(iter(scored))
    if "died" in row:
        assert scored[paper] == scored["robust"] == 0
        return
    wanted = 0 if (name, row["answer"]) in FLATTERED else 1
    assert (row["scores"][paper], scored[paper], scored["robust"]) == (1 - wanted, 1 - wanted, wanted)


@pytest.mark.parametrize("name", [*DEFECTS, "llava-bench-it"])
def test_no_login_is_asked_for(benchmarks, name):
    # Released: token: True, which fails without a hub login.
    assert "token" not in (benchmarks.task(name).task.config.dataset_kwargs or {})


@pytest.mark.parametrize(
    ("name", "answer", "paper", "robust"),
    [
        ("gqa-it", "ROSSO!", 1, 1),
        ("gqa-it", "«rosso»", 0, 1),
        ("gqa-it", "il rosso", 0, 1),
        ("gqa-it", "rossa", 0, 0),
        ("mtvqa-it", "rosso.", 1, 1),
        ("mtvqa-it", "È rosso", 0, 1),
        ("mtvqa-it", "Non è rosso", 0, 0),
        ("ok-vqa-it", "Rosso", 1, 1),
        ("ok-vqa-it", "un rosso", 0, 1),
        ("ok-vqa-it", "a rosso", 1, 0),
        ("exams-v-it", "(a)", 1, 1),
        ("exams-v-it", "La risposta è A", 0, 1),
        ("exams-v-it", "B", 0, 0),
        ("exams-v-it", "A\n\nSpiegazione: B è falsa", 0, 1),
        ("exams-v-it", "La risposta non è A", 0, 0),
        ("exams-v-it", "A = ma", 0, 0),
        ("seedbench-it", "A. rosso", 1, 1),
        ("seedbench-it", "Albero", 1, 0),
        ("seedbench-it", "(A)", 0, 1),
        ("seedbench-it", "Opzione A.", 0, 1),
        ("seedbench-it", "Rosso", 0, 1),
        ("pope-it", "Sì.", 1, 1),
        ("pope-it", "si", 0, 1),
        ("pope-it", "si\u0300", 0, 1),
        ("pope-it", "Sì, c'è", 0, 1),
        ("pope-it", "Si vede solo un gatto", 0, 0),
        ("pope-it", "no", 0, 0),
        ("pope-it", "", 0, 0),
    ],
)
def test_the_papers_score_is_as_strict_as_released_and_the_robust_one_is_not(
    benchmarks, name, answer, paper, robust
):
    scored = metrics(benchmarks, name, answer)
    assert (next(iter(scored.values())), scored["robust"]) == (paper, robust)


# ok-vqa: no name and no split; the document rewritten while it is scored; a submission that no metric takes.


def test_okvqa_says_what_it_is_and_scores_only_what_has_a_metric(benchmarks):
    task = benchmarks.task("ok-vqa-it").task
    assert (task.config.task, task.config.test_split) == ("ok-vqa-it", "val2014")
    assert set(task.process_results({"answers": ["due"]}, ["due"])) == set(task.aggregation())


def test_vqa_accuracy_needs_three_others_of_the_same_opinion(benchmarks):
    task = benchmarks.task("ok-vqa-it").task
    document = {"answers": ["due", "2", "due", "tre", *["quattro"] * 6]}
    before = json.dumps(document)
    scored = task.process_results(document, ["due"])
    # Three say so in all spellings: of ten who are left out, seven leave three, three leave two.
    assert scored["robust"] == pytest.approx((7 * 1 + 3 * 2 / 3) / 10)
    # The English normaliser does not know "due": two of ten.
    assert scored["exact_match"] == pytest.approx((8 * 2 / 3 + 2 * 1 / 3) / 10)
    assert json.dumps(document) == before
    assert task.process_results({"answers": ["due"]}, ["2"])["robust"] == 1


# Verbose answers, which every rule above finds wrong by their form alone.


@pytest.mark.parametrize(
    ("name", "answer", "contains"),
    [
        ("gqa-it", "Nell'immagine si vede una superficie di colore rosso.", 1),
        ("gqa-it", "La superficie non è rosso, è verde.", 0),
        ("mtvqa-it", "Sul cartello c'è scritto: rosso", 1),
        ("mtvqa-it", "arrossire", 0),
        ("ok-vqa-it", "Il colore della casa è il rosso.", 1),
        ("ok-vqa-it", "verde", 0),
    ],
)
def test_a_verbose_answer_is_right_if_it_contains_the_right_one(benchmarks, name, answer, contains):
    scored = metrics(benchmarks, name, answer)
    assert (scored["exact_match"], scored["robust"], scored["contains"]) == (0, 0, contains)


def test_mtvqas_own_score_looks_for_the_text_as_vlmevalkit_does(benchmarks):
    said = ["Rosso.", "L'ARROSSIRE", "r.o.s.s.o", "ros so", ""]
    assert [metrics(benchmarks, "mtvqa-it", answer)["substring"] for answer in said] == [1, 0, 1, 0, 0]
    task = benchmarks.task("mtvqa-it").task
    assert task.process_results({"answer": " St. Moritz "}, ["a st moritz, credo"])["substring"] == 1


def test_okvqa_counts_the_people_whose_answer_is_contained(benchmarks):
    task = benchmarks.task("ok-vqa-it").task
    document = {"answers": ["due", "due", "tre gatti", *["quattro"] * 7]}
    scored = task.process_results(document, ["Ci sono due cani e 3 gatti"])
    assert scored["robust"] == 0
    assert scored["contains"] == pytest.approx((7 * 1 + 3 * 2 / 3) / 10)


# pope: yes ratio of the gold answers; unparseable answers left out of recall; accuracy's error shown for F1;
# a group without a total.


def pope_totals(benchmarks: Benchmarks, pairs: list[tuple[str, str]]) -> dict[str, float]:
    task = benchmarks.task("pope-it").task
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
            "first_sentence": 4 / 7,  # "boh" and "" deny nothing, so they are a yes
            "first_sentence_precision": 3 / 5,
            "first_sentence_recall": 3 / 4,
            "first_sentence_f1_score": 2 / 3,
            "first_sentence_yes_ratio": 5 / 7,
            "unparseable": 2 / 7,
        }
    )


def test_f1_is_not_given_the_standard_error_of_accuracy(benchmarks):
    # Half yes, half no; one in five of the yes is missed: accuracy's error is another one than F1's.
    said = iter([*["sì", "no", "no"] * 4])
    outcome = benchmarks.ask(Answerer(lambda context, image: next(said)), "pope-it")
    assert set(outcome.errors) == set(outcome.metrics)
    f1, accuracy = outcome.errors["robust_f1_score"], outcome.errors["robust"]
    assert f1 > 0 and abs(f1 - accuracy) > 0.01
    # Nor by lmms-eval itself, which takes what it finds under "score" for the metric's own values.
    task = benchmarks.task("pope-it").task
    model = Answerer(guess)
    results = simple_evaluate(
        model=model, tasks=[task], bootstrap_iters=100, task_manager=benchmarks.index.manager
    )
    shown = results["results"]["pope-it"]
    assert {shown[f"pope_f1_score_stderr{kind},none"] for kind in ("", "_clt", "_clustered")} == {"N/A"}


def test_popes_parts_and_their_total(benchmarks):
    task = benchmarks.task("pope_adv-it").task
    assert set(task.eval_docs["category"]) == {"adversarial"}
    parts = {name: benchmarks.ask(Answerer(guess), name).metrics for name in POPE}
    total = benchmarks.totals("pope_full-it", parts)
    assert total["pope_accuracy"] == parts["pope-it"]["pope_accuracy"] == 0.25
    assert total["pope_f1_score"] == pytest.approx(0.4)
    assert benchmarks.totals("ndino-it", {name: {"robust": 1.0} for name in benchmarks.names}) == {}


# gqa: every image held in memory; "answer" wanted where the published questions have a "label".


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
    task = benchmarks.task("gqa-it").task
    assert task.doc_to_target({"img_id": "n0", "sent": "?", **label}) == target
    assert task.process_results(label, ["il rosso"]) == {
        "exact_match": 0,
        "robust": 1,
        "contains": 1,
    }


def test_gqa_decodes_only_the_image_that_is_asked_about(benchmarks, monkeypatch):
    decoded = []
    read = gqa_images.read_image
    monkeypatch.setattr(gqa_images, "read_image", lambda encoded: decoded.append(1) or read(encoded))
    task = benchmarks.task("gqa-it").task
    (image,) = task.doc_to_visual(task.eval_docs[2])
    assert image.getpixel((0, 0)) == COLOURS["blu"]
    assert len(decoded) == 1
