"""How often each letter is answered against how often it is right, worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ndino.languages.answers import reader
from ndino.results.letters import letter_bias
from ndino.results.logs import LoggedSample, ResultsError, TaskLog, read_run
from ndino.results.logs.question_groups import options_in
from ndino.results.summary import build_summary
from ndino.results.tables import build_tables
from tests.results.synthetic import sample, write_rows, write_task

OPTIONS = {"A": "un cane", "B": "un gatto", "C": "un topo", "D": "due cani"}
ASKED = "Che cosa si vede?\n" + "\n".join(f"{letter}. {text}" for letter, text in OPTIONS.items())


def choice_row(number, answer, target, **fields):
    """A row as SEED-Bench scores it."""
    said = reader("it").letter(answer, "ABCD", OPTIONS)
    scores = {"robust": float(said == target), "unparseable": float(said is None)}
    return (
        sample(number, scores["robust"], target=target, answer=answer, question=ASKED, metrics=scores)
        | fields
    )


def log_of(rows, task="seedbench-it"):
    samples = tuple(
        LoggedSample(
            row["doc_id"],
            row["doc_hash"],
            row["question"],
            row["target"],
            row["answer"],
            row["metrics"],
            image=row["image_sha256"],
            letter=row.get("letter"),
        )
        for row in rows
    )
    return TaskLog(Path(f"{task}.jsonl"), 1, samples, (), {"robust": 0.0}, {})


def counts(bias):
    return {letter: (each["answered"], each["right"]) for letter, each in bias["letters"].items()}


def test_letters_are_counted_among_the_answers_that_name_one():
    said = ["B", "b)", "La risposta è B", "un gatto", "A", "", "Non so", "A o B"]
    rows = [choice_row(n, answer, "ABCD"[n % 4]) for n, answer in enumerate(said)]
    bias = letter_bias(log_of(rows))
    assert (bias["read"], bias["unreadable"]) == (5, 3)
    assert counts(bias) == {"A": (1, 2), "B": (4, 1), "C": (0, 1), "D": (0, 1)}
    assert bias["letters"]["B"]["difference"] == 0.6
    assert sum(letter["difference"] for letter in bias["letters"].values()) == pytest.approx(0)


def test_interval_and_test_are_over_images():
    # 20 images with 4 questions each: alike within an image, so that 80 rows are no more than 20.
    rows = [
        choice_row(
            4 * image + turn, "A" if image < 14 else "ABCD"[turn], "ABCD"[turn], image_sha256=f"i{image}"
        )
        for image in range(20)
        for turn in range(4)
    ]
    alone = [row | {"image_sha256": str(n)} for n, row in enumerate(rows)]
    clustered, alone = (letter_bias(log_of(each))["letters"] for each in (rows, alone))
    assert clustered["B"]["difference"] == alone["B"]["difference"] == -14 / 80
    # 14 images differ, all in one direction: mid-p is 2 / 2**14 / 2.
    assert clustered["B"]["p"] == pytest.approx(2**-14, rel=1e-4)
    # Of A an image has three too many at once, which is as good as one answer.
    assert clustered["A"]["difference"] == 3 * 14 / 80
    narrow, wide = (each["A"]["interval"][1] - each["A"]["interval"][0] for each in (alone, clustered))
    assert 1.3 * narrow < wide
    assert alone["A"]["p"] < clustered["A"]["p"] == clustered["B"]["p"]


def test_a_log_that_says_which_letters_were_read_is_believed():
    rows = [choice_row(n, "B", "A", letter=letter) for n, letter in enumerate(("C", "", "A"))]
    bias = letter_bias(log_of(rows))
    assert (counts(bias), bias["unreadable"]) == ({"A": (1, 2), "C": (1, 0)}, 1)
    rows[0]["letter"] = "<b>"
    assert letter_bias(log_of(rows))["unreadable"] == 2


def test_what_contradicts_the_scores_of_its_row_is_not_counted_as_read():
    rows = [choice_row(0, "A", "A"), choice_row(1, "A", "A")]
    rows[1]["metrics"] = {"robust": 0.0, "unparseable": 0.0}
    assert letter_bias(log_of(rows))["unreadable"] == 1


def test_exams_have_their_options_in_the_image():
    scores = [{"robust": right, "unparseable": none} for right, none in ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0))]
    answers = zip(["E", "H", "un gatto"], scores, strict=True)
    rows = [
        sample(n, 0, target="E", answer=answer, question="Risolvi.", metrics=score)
        for n, (answer, score) in enumerate(answers)
    ]
    bias = letter_bias(log_of(rows, "exams-v-it"))
    assert (counts(bias), bias["unreadable"]) == ({"E": (1, 2), "H": (1, 0)}, 1)


@pytest.mark.parametrize(
    ("task", "rows"),
    [
        ("seedbench", [choice_row(0, "A", "A")]),  # in no language that is known
        ("pope-it", [choice_row(0, "sì", "sì")]),
        ("mtvqa-it", [sample(0, 1, target="A", answer="A")]),
    ],
)
def test_other_tasks_have_no_letters(task, rows):
    assert letter_bias(log_of(rows, task)) is None


@pytest.mark.parametrize(
    ("question", "options"),
    [
        (ASKED, OPTIONS),
        ("A. B. Rossi?\nA. sì\nB. no", {"A": "sì", "B": "no"}),
        ("Chi?\nA. uno\ndue\nB. ", {"A": "uno\ndue", "B": ""}),
        ("Chi?\nA. uno\nC. tre", {}),
        ("A. uno\nB. due\nA. tre", {}),
        ("Quale vitamina?", {}),
        ("", {}),
    ],
)
def test_options_are_found_at_the_end_of_a_question(question, options):
    assert options_in(question) == options


def write_choices(run, model, answers, task="seedbench-it"):
    folder = run / "eval" / model
    rows = [choice_row(n, answer, "ABCD"[n % 4]) for n, answer in enumerate(answers)]
    write_task(folder, task, [row["metrics"]["robust"] for row in rows], metric="robust")
    write_rows(folder / f"{task}.jsonl", rows)


def test_the_table_names_what_is_shown_and_counts_what_cannot_be_read(tmp_path):
    write_choices(tmp_path, "always <B>", ["B"] * 40)
    write_choices(tmp_path, "right", ["A", "B", "C", ""] * 10)
    summary = build_summary(read_run(tmp_path))
    table = next(each for each in build_tables(summary) if each.key == "seedbench-it-letters")
    assert [column.name for column in table.columns] == ["always <B>", "right"]
    rows = dict(table.rows)
    assert [*rows] == ["A", "B", "C", "D", "no letter"]
    always, right = rows["B"]
    assert (always.score, always.strong, always.details[1:]) == (
        "+75.0",
        True,
        ("answered 100.0, right 25.0", "more: p < 0.001"),
    )
    assert (right.score, right.strong, right.details[1:]) == ("+0.0", False, ("answered 33.3, right 33.3",))
    # Where D is right, nothing of the second model can be read.
    assert rows["D"][0].score == "−25.0" and rows["D"][1] is None
    assert [cell.score for cell in rows["no letter"]] == ["0 of 40", "10 of 40"]
    # Four letters of one model and three of the other: all seven tests are one family.
    (a, b) = (
        summary["models"][name]["seedbench-it"]["letters"]["letters"] for name in ("always <B>", "right")
    )
    assert a["A"]["p_holm"] == pytest.approx(7 * a["A"]["p"], rel=0.5) and a["A"]["p_holm"] > a["A"]["p"]
    assert {each["p_holm"] for each in b.values()} == {1.0}


def write_circular(run, model, right, *, primary="circular", drop=()):
    """Questions of three rotations; ``right``: in how many of them each one is answered rightly."""
    rows = []
    for question, count in enumerate(right):
        for turn in range(3):
            target = "ABC"[(question - turn) % 3]
            answer = target if turn < count else ""
            row = choice_row(3 * question + turn, answer, target)
            row |= {"question_group": str(question), "rotation": turn, "letter": answer or None}
            row |= {"group_size": 3}
            row |= {"image_sha256": f"image-{question}", "question_sha256": f"{question} {turn}"}
            if turn == 0 and question not in drop:
                row["metrics"] = {"circular": float(count == 3), **row["metrics"]}
            rows.append(row)
    folder = run / "eval" / model
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "mmbench-it.jsonl", rows)
    kept = [count for question, count in enumerate(right) if question not in drop]
    circular, robust = sum(count == 3 for count in kept) / len(kept), sum(right) / len(rows)
    metrics = {"circular": circular, "robust": robust}
    if primary == "robust":
        metrics = dict(reversed(metrics.items()))
    entry = {"version": 1, "n": len(rows), "metrics": metrics, "shuffled": {}, "majority": {primary: 0.0}}
    results = {"model": model, "tasks": {"mmbench-it": entry}}
    (folder / "results.json").write_text(json.dumps(results))


def test_a_score_of_all_rotations_is_compared_over_questions(tmp_path):
    write_circular(tmp_path, "a", [3] * 8 + [2] * 12)
    write_circular(tmp_path, "b", [2] * 20)
    summary = build_summary(read_run(tmp_path))
    entry = summary["models"]["a"]["mmbench-it"]
    assert (entry["circular"], entry["metric"], entry["n"], entry["images"]) == (0.4, "circular", 20, 20)
    assert entry["robust"] == pytest.approx(48 / 60)
    low, high = entry["intervals"]["robust"]
    assert low < 0.8 < high
    (test,) = summary["tests"]
    # Eight questions differ, all in one direction: mid-p is 2 / 2**8 / 2. The paper's is McNemar's, exact.
    assert (test["n"], test["questions"], test["difference"]) == (20, 20, 0.4)
    assert test["p"] == pytest.approx(2**-8)
    assert (test["n10"], test["n01"], test["paper"]["p"]) == (8, 0, pytest.approx(2 * 2**-8))
    letters = entry["letters"]
    assert (letters["read"], letters["unreadable"]) == (48, 12)


def test_such_a_score_beside_another_one_has_an_interval_over_questions(tmp_path):
    write_circular(tmp_path, "a", [3] * 8 + [2] * 12, primary="robust")
    entry = build_summary(read_run(tmp_path))["models"]["a"]["mmbench-it"]
    assert (entry["metric"], entry["n"]) == ("robust", 60)
    # Wilson's interval of 8 in 20.
    assert entry["intervals"]["circular"] == pytest.approx([0.2188, 0.6134], abs=1e-4)


def test_a_question_without_its_score_is_named(tmp_path):
    write_circular(tmp_path, "a", [3] * 8 + [2] * 12, drop=[4])
    with pytest.raises(ResultsError, match="document 12 has circular = None, not a score from 0 to 1"):
        read_run(tmp_path)


def cut_last_row(run, model, **changes):
    """Take the last rotation from the log, as an earlier version's limit did; a value None is removed."""
    folder = run / "eval" / model
    log = folder / "mmbench-it.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()][:-1]
    for row in rows:
        row.update(changes)
        row.pop("group_size" if changes.get("group_size", 0) is None else "", None)
    write_rows(log, rows)
    results = json.loads((folder / "results.json").read_text())
    entry = results["tasks"]["mmbench-it"]
    entry["n"] = len(rows)
    entry["metrics"]["robust"] = sum(row["metrics"]["robust"] for row in rows) / len(rows)
    (folder / "results.json").write_text(json.dumps(results))
    return log


@pytest.mark.parametrize(
    "earlier", [{}, {"group_size": None, "question": "?\nA. sì\nB. no\nC. forse\nRispondi."}]
)
def test_a_question_that_counts_without_all_of_its_rotations_is_refused(tmp_path, earlier):
    write_circular(tmp_path, "a", [3] * 8 + [2] * 12)
    log = cut_last_row(tmp_path, "a", **earlier)
    with pytest.raises(ResultsError) as refused:
        read_run(tmp_path)
    assert str(refused.value) == (
        f"{log}: document 57 has circular, but only 2 of the 3 rows of its question are there "
        f"(remedy: ndino rescore {log.parent})"
    )


def test_a_question_without_all_of_its_rotations_is_left_out_and_counted(tmp_path):
    write_circular(tmp_path, "a", [3] * 8 + [2] * 12, drop=[19])
    cut_last_row(tmp_path, "a")
    summary = build_summary(read_run(tmp_path))
    entry = summary["models"]["a"]["mmbench-it"]
    assert (entry["circular"], entry["n"]) == (pytest.approx(8 / 19, abs=1e-4), 19)
    assert "a: mmbench-it: 1 question lacks rows and is left out of circular." in summary["notes"]


@pytest.mark.parametrize(
    "field", [{"rotation": True}, {"question_group": 3}, {"letter": ["A"]}, {"group_size": "3"}]
)
def test_what_a_log_says_of_its_rotations_is_checked(tmp_path, field):
    write_circular(tmp_path, "a", [3, 0])
    log = tmp_path / "eval" / "a" / "mmbench-it.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    write_rows(log, [rows[0] | field, *rows[1:]])
    with pytest.raises(ResultsError, match=f"row 1: field '{next(iter(field))}' must be"):
        read_run(tmp_path)


def test_text_questions_of_one_group_are_one(tmp_path):
    write_circular(tmp_path, "a", [3] * 8 + [0] * 12, primary="robust")
    log = tmp_path / "eval" / "a" / "mmbench-it.jsonl"
    rows = [json.loads(line) | {"image_sha256": ""} for line in log.read_text().splitlines()]
    write_rows(log, rows)
    assert build_summary(read_run(tmp_path))["models"]["a"]["mmbench-it"]["images"] == 20
