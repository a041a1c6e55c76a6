"""Leaderboard files: what stands in a row, what can be put together, what stays apart, and hostile files."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from dataclasses import replace

import pytest

from ndino.cli import main
from ndino.results.leaderboard import collect, leaderboard_markdown, merge, read
from ndino.results.logs import ResultsError, read_run, read_samples
from ndino.results.logs.samples import answers_digest
from ndino.results.summary import build_summary
from tests.commands import refused
from tests.results.synthetic import write_perplexity, write_rows, write_task

ANSWERS = {
    "weights": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "torch": "2.13.0",
    "dtype": "float32",
    "device": "cpu",
}
DEPENDS = {"version": 3.0, "data": "files-1", "questions": 4, "prompts": "p1", "language": "l1", "images": 2}


def write_model(
    run, name, task="gqa-it", right=(1, 1, 0, 1), shuffled=(0, 0, 0, 1), *, answers=None, **depends
):
    """A model's task with all that results.json states; ``depends`` is what the task depends on."""
    folder = run / "eval" / name
    folder.mkdir(parents=True, exist_ok=True)
    write_task(folder, task, right, shuffled)
    path = folder / "results.json"
    found = json.loads(path.read_text())
    found["tasks"][task] |= {
        "version": depends.get("version", DEPENDS["version"]),
        "depends": {"answers": ANSWERS | (answers or {}), "task": DEPENDS | depends},
        "made_with": {
            "ndino": "0.1.0",
            "commit": "c0ffee" + "0" * 34,
            "gpu": None,
            "data_revisions": ["deadbeef" * 5, None],
        },
    }
    path.write_text(json.dumps(found))
    return run


def board_of(run):
    logs = read_run(run)
    return collect(logs, build_summary(logs))


def file_of(run, path):
    path.write_text(board_of(run).text())
    return path


def only(board, name):
    """The one score of a model, and its column."""
    ((key, score),) = board.models[name].scores.items()
    return score, board.columns[key]


def test_report_writes_it_beside_the_page(small_run, capsys):
    assert main(["report", str(small_run), "--leaderboard"]) == 0
    shown = capsys.readouterr().out
    files = [small_run / "report" / f"leaderboard.{end}" for end in ("json", "md")]
    assert all(f"Leaderboard: {path}\n" in shown for path in files)
    board = read(files[0])
    assert board.text() == files[0].read_text() == board_of(small_run).text()
    assert leaderboard_markdown(board) == files[1].read_text()


@pytest.mark.parametrize("kept", ["leaderboard.json", "leaderboard.md"])
def test_a_later_report_leaves_none_of_other_results(small_run, capsys, kept):
    assert main(["report", str(small_run), "--leaderboard"]) == 0
    report = small_run / "report"
    for path in report.glob("leaderboard.*"):
        if path.name != kept:
            path.unlink()
    shutil.rmtree(small_run / "eval" / "IT")
    assert main(["report", str(small_run)]) == 0
    assert str(report / kept) in capsys.readouterr().out
    board = read(report / "leaderboard.json")
    assert [*board.models] == ["PT+IT"]
    assert (report / "leaderboard.md").read_text() == leaderboard_markdown(board)


def test_without_being_asked_there_is_none(small_run):
    assert main(["report", str(small_run)]) == 0
    assert not list((small_run / "report").glob("leaderboard*"))


def test_a_row_holds_what_the_report_holds_and_what_it_was_made_with(tmp_path):
    run = write_model(tmp_path, "IT", right=[1, 1, 0, 1], shuffled=[0, 0, 0, 1])
    score, column = only(board_of(run), "IT")
    entry = build_summary(read_run(run))["models"]["IT"]["gqa-it"]
    assert (score["score"], score["shuffled"], score["right_minus_shuffled"]) == (0.75, 0.25, 0.5)
    for name in ("interval", "right_minus_shuffled_interval", "blank", "shuffles", "fractional"):
        assert score[name] == entry[name]
    assert (column.task, column.origin, column.version, column.n, column.images) == (
        "gqa-it",
        "translated",
        "3.0",
        4,
        4,
    )
    assert (column.metric, column.majority, column.lower_is_better) == ("exact_match", 0.25, False)
    assert column.settings == {"prompts": "p1", "language": "l1", "images": "2"}
    assert (
        score["made_with"]["data_revision"] == "deadbeef" * 5
        and score["made_with"]["data_files"] == "files-1"
    )
    assert board_of(run).models["IT"].answers == ANSWERS
    tables = leaderboard_markdown(board_of(run))
    for text in ("c0ffee000000", "deadbeefdead", "files-1", "0a1b2c3d4e5f", "torch 2.13.0", "ndino 0.1.0"):
        assert text in tables


def test_the_control_judges_whether_a_score_is_blind(small_run):
    whole = json.loads(board_of(small_run).text())
    tasks = {key: column["task"] for key, column in whole["columns"].items()}
    blind = {
        (name, tasks[key]): score["blind"]
        for name, row in whole["models"].items()
        for key, score in row["scores"].items()
    }
    assert blind["PT+IT", "gqa-it"] is False and blind["IT", "gqa-it"] is True
    assert blind["PT+IT", "ok-vqa-it"] is None  # no control


def test_native_and_translated_stand_apart_and_nothing_is_averaged(small_run):
    write_task(small_run / "eval" / "IT", "colour-it", [1, 0], [0, 0])
    text = leaderboard_markdown(board_of(small_run))
    parts = dict(re.findall(r"^## (.*)\n\n\| Model \| (.*)", text, re.MULTILINE))
    assert [*parts] == [
        "Native benchmarks",
        "Translated benchmarks",
        "Other benchmarks",
        "Perplexity",
        "Models",
    ]
    found = [re.findall(r"([A-Z-]+) ↑", parts[title]) for title in [*parts][:3]]
    assert found == [["MTVQA-IT"], ["GQA-IT", "OK-VQA-IT"], ["COLOUR-IT"]]
    rows = [line for line in text.splitlines() if line.startswith("| PT+IT |")]
    assert len(rows) == 4  # one a table, but none among the other tasks
    assert "**42.5** sees<br>\\[28.5, 57.8\\]" in text


def test_language_and_judge_stand_beside_a_score(small_run):
    shares = {"in_language": 0.6, "in_english": 0.25, "in_other_language": 0.05, "language_undecided": 0.1}
    write_task(small_run / "eval" / "IT", "llava-bench-it", [0.5] * 20, metric="chrf", extra=shares)
    folder = small_run / "eval" / "IT" / "judge" / "evil|<b>"
    folder.mkdir(parents=True)
    judged = {"n": 20, "judged": 18, "unreadable": 2, "mean": 0.4, "interval": [0.25, 0.55], "language": "it"}
    judged["answers"] = answers_digest(read_samples(small_run / "eval" / "IT" / "llava-bench-it.jsonl"))
    check = {"rows": 300, "kappa": -0.03, "kappa_interval": [-0.1, 0.04], "agreement": 0.9}
    content = {"judge": "x", "checks": {"it": check}, "tasks": {"llava-bench-it": judged, "gqa-it": judged}}
    (folder / "judge.json").write_text(json.dumps(content))
    text = leaderboard_markdown(board_of(small_run))
    assert "answers: in its language 60.0, English 25.0, other 5.0, undecided 10.0" in text
    said = "judged 40.0 \\[25.0, 55.0\\] by evil\\|&lt;b&gt; (kappa −0.03 \\[−0.10, 0.04\\], 2 unreadable)"
    # What is said of gqa-it is of other answers.
    assert text.count("judged") == 1 and said in text
    note = "IT: gqa-it: the verdicts of evil|<b> are on other answers and left out; rerun ndino judge run."
    assert read_run(small_run).notes[0] == note
    content["checks"]["it"] = None
    (folder / "judge.json").write_text(json.dumps(content))
    assert "(not checked, 2 unreadable)" in leaderboard_markdown(board_of(small_run))
    assert main(["report", str(small_run)]) == 0
    page = (small_run / "report" / "index.html").read_text()
    assert "by evil|&lt;b&gt; (not checked, 2 unreadable)" in page and "without the image" in page


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not readable as JSON"),
        ("[]", "not a JSON object"),
        ('{"tasks": {"gqa-it": {"mean": "high"}}}', "field 'mean' must be int or float"),
        ('{"tasks": {"gqa-it": {"mean": 0.5, "interval": [0.9, 0.1]}}}', "field 'interval' is no interval"),
        ('{"checks": [], "tasks": {}}', "field 'checks' must be dict"),
    ],
)
def test_a_broken_file_of_a_judge_is_named(small_run, content, reason, capsys):
    folder = small_run / "eval" / "IT" / "judge" / "j"
    folder.mkdir(parents=True)
    (folder / "judge.json").write_text(content)
    assert f"judge.json: {reason}" in refused(capsys, "report", small_run)


def test_two_files_become_one_with_the_same_column(tmp_path):
    a = write_model(tmp_path / "a", "IT", right=[1, 1, 0, 1])
    b = write_model(tmp_path / "b", "PT+IT", right=[1, 1, 1, 1], answers={"weights": "ff" * 16})
    files = [file_of(a, tmp_path / "a.json"), file_of(b, tmp_path / "b.json")]
    board = merge([(path, read(path)) for path in files])
    (column,) = board.columns.values()
    assert (column.task, {name: only(board, name)[0]["score"] for name in board.models}) == (
        "gqa-it",
        {"IT": 0.75, "PT+IT": 1.0},
    )
    assert board.models["IT"].suite == board.models["PT+IT"].suite
    assert "cannot be compared" not in leaderboard_markdown(board)


@pytest.mark.parametrize(
    ("other", "differ"),
    [
        ({"version": 4.0}, "version"),
        ({"right": [1, 1, 0, 1, 1], "shuffled": [0] * 5}, "questions"),
        ({"prompts": "p2"}, "prompts"),
        ({"language": "l2", "images": 3}, "language, images"),
    ],
)
def test_what_was_asked_or_scored_otherwise_has_a_column_of_its_own(tmp_path, other, differ):
    a = board_of(write_model(tmp_path / "a", "IT"))
    b = board_of(write_model(tmp_path / "b", "PT+IT", **other))
    board = merge([(tmp_path / "a.json", a), (tmp_path / "b.json", b)])
    assert len(board.columns) == 2 and board.models["IT"].suite != board.models["PT+IT"].suite
    text = leaderboard_markdown(board)
    assert f"GQA-IT stands in 2 columns that cannot be compared; they differ in: {differ}. " in text
    heads = {key: f"GQA-IT #{key[:6]} ↑" for key in board.columns}
    (line,) = [line for line in text.splitlines() if line.startswith("| IT |") and "**" in line]
    (head,) = [line for line in text.splitlines() if line.startswith("| Model | GQA-IT")]
    places = {
        key: head.split(" | ").index(next(c for c in head.split(" | ") if h in c)) for key, h in heads.items()
    }
    cells = [cell.strip(" |") for cell in line.split(" | ")]
    for key, place in places.items():
        assert (cells[place] == "–") == (key not in board.models["IT"].scores)


def test_other_files_of_the_same_questions_are_no_other_column(tmp_path):
    a = board_of(write_model(tmp_path / "a", "IT"))
    b = board_of(write_model(tmp_path / "b", "PT+IT", data="files-2"))
    board = merge([(tmp_path / "a.json", a), (tmp_path / "b.json", b)])
    assert len(board.columns) == 1
    assert "files-1, files-2" in leaderboard_markdown(board)


def test_images_that_differ_make_another_column(tmp_path):
    a = board_of(write_model(tmp_path / "a", "IT"))
    run = write_model(tmp_path / "b", "PT+IT")
    for log in run.glob("eval/*/*.jsonl"):
        log.write_text(log.read_text().replace('"image-3"', '"another"'))
    board = merge([(tmp_path / "a.json", a), (tmp_path / "b.json", board_of(run))])
    assert len(board.columns) == 2


def test_the_order_of_files_makes_no_difference_and_one_twice_neither(tmp_path):
    runs = [
        write_model(tmp_path / "a", "IT"),
        write_model(tmp_path / "b", "PT+IT", version=4.0),
        write_model(tmp_path / "c", "IT", "mtvqa-it"),
    ]
    found = [(tmp_path / f"{n}.json", board_of(run)) for n, run in enumerate(runs)]
    # The first once more, made by another commit.
    made = json.loads(found[0][1].text())
    next(iter(made["models"]["IT"]["scores"].values()))["made_with"]["commit"] = "f" * 40
    (tmp_path / "later.json").write_text(json.dumps(made))
    found.append((tmp_path / "later.json", read(tmp_path / "later.json")))
    texts = {merge(order).text() for order in itertools.permutations(found)}
    twice = merge([*found, (tmp_path / "again.json", merge(found[:2]))])
    assert texts == {twice.text()}
    # The same model on two tasks, from two files.
    assert len(twice.models["IT"].scores) == 2


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"right": [1, 1, 1, 1]}, "gqa-it score 1.0 here, 0.75 there"),
        ({"answers": {"weights": "ff"}}, f"weights ff here, {ANSWERS['weights']} there"),
        ({"shuffled": [0, 0, 0, 0]}, "gqa-it shuffled 0.0 here, 0.25 there"),
        ({"task": "mtvqa-it", "answers": {"torch": "2.14.0"}}, "torch 2.14.0 here, 2.13.0 there"),
    ],
)
def test_one_name_with_other_numbers_is_refused_and_the_difference_named(tmp_path, capsys, other, difference):
    a = file_of(write_model(tmp_path / "a", "IT"), tmp_path / "a.json")
    b = file_of(write_model(tmp_path / "b", "IT", **other), tmp_path / "b.json")
    said = refused(capsys, "report", "--leaderboard", a, b, "--out", tmp_path / "out")
    assert f"{b}: model 'IT' is another one than in {a}, or has other numbers: {difference}" in said
    assert not (tmp_path / "out").exists()


def test_rows_that_do_not_say_of_which_weights_they_are_are_no_one_model(tmp_path, capsys):
    files = []
    for name, task in (("a", "gqa-it"), ("b", "mtvqa-it")):
        (tmp_path / name / "eval" / "IT").mkdir(parents=True)
        write_task(tmp_path / name / "eval" / "IT", task, [1, 0], [0, 0])
        files.append(file_of(tmp_path / name, tmp_path / f"{name}.json"))
    assert read(files[0]).models["IT"].answers == {}
    said = refused(capsys, "report", "--leaderboard", *files, "--out", tmp_path / "out")
    assert "model 'IT' is another one than in" in said and "neither says of which weights it is" in said
    assert merge([(files[0], read(files[0]))] * 2).text() == files[0].read_text()


def test_files_that_say_other_things_of_one_column_are_refused(tmp_path, capsys):
    a = file_of(write_model(tmp_path / "a", "IT"), tmp_path / "a.json")
    whole = json.loads(file_of(write_model(tmp_path / "b", "PT+IT"), tmp_path / "b.json").read_text())
    (column,) = whole["columns"].values()
    column["majority"] = 0.5
    (tmp_path / "b.json").write_text(json.dumps(whole))
    said = refused(capsys, "report", "--leaderboard", a, tmp_path / "b.json", "--out", tmp_path / "out")
    assert "gqa-it has majority 0.5, and in" in said
    column |= {"majority": 0.25, "origin": None}  # of an earlier version, which did not state it
    (tmp_path / "b.json").write_text(json.dumps(whole))
    assert (
        main(["report", "--leaderboard", str(a), str(tmp_path / "b.json"), "--out", str(tmp_path / "out")])
        == 0
    )
    (found,) = read(tmp_path / "out" / "leaderboard.json").columns.values()
    assert found.origin == "translated"


def test_perplexities_of_other_answers_are_apart(tmp_path):
    runs = [write_model(tmp_path / name, name) for name in ("a", "b", "c")]
    for run, values in zip(runs, ([2.0, 8.0], [3.0, 5.0], [2.0, 3.0, 5.0]), strict=True):
        write_perplexity(run, run.name, "mtvqa-it", values)
    # Names of answers alone do not say that they are the same.
    assert len(merge([(tmp_path / "x", board_of(run)) for run in runs]).perplexity_columns) == 3
    for run in runs:
        path = run / "ppl" / run.name / "mtvqa-it.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        write_rows(path, [row | {"content": f"content of {row['id']}"} for row in rows])
    board = merge([(tmp_path / "x", board_of(run)) for run in runs])
    keys = {name: [*row.perplexity] for name, row in board.models.items()}
    assert keys["a"] == keys["b"] != keys["c"]
    text = leaderboard_markdown(board)
    assert "The perplexity of MTVQA-IT stands in 2 columns that cannot be compared" in text
    assert "corpus 4.00" in text  # the geometric mean of 2 and 8


HOSTILE = "<img src=x onerror=alert(1)>|`*_[x](javascript:1)\x1b[31m\x00\u202e\n# head"


def test_hostile_names_are_text(small_run, tmp_path):
    (small_run / "eval" / "IT").rename(small_run / "eval" / "<b>|*x*")
    path = file_of(small_run, tmp_path / "a.json")
    whole = json.loads(path.read_text())
    whole["models"][HOSTILE] = whole["models"].pop("<b>|*x*")
    # A key is of what the column says; this one says something hostile.
    path.write_text(json.dumps(whole))
    text = leaderboard_markdown(read(path))
    assert "<img" not in text and "\n# head" not in text and not re.search("[\x00\x1b\u202e]", text)
    assert "\\[x\\](javascript:1)" in text and "&lt;img" in text
    for line in text.splitlines():
        if "onerror" in line:
            assert line.startswith("| &lt;img") and len(re.findall(r"(?<!\\)\|", line)) in (3, 4, 5, 6)


def changed(*keys, to):
    """A file in which the value at these keys is another one; "*" is the first of a mapping."""

    def change(whole):
        place = whole
        for key in keys[:-1]:
            place = place[next(iter(place)) if key == "*" else key]
        place[next(iter(place)) if keys[-1] == "*" else keys[-1]] = to
        return json.dumps(whole)

    return change


SCORE = ("models", "*", "scores", "*")
JUDGED = {
    **{"judge": "j", "mean": 0.5, "interval": [0.2, 0.8], "n": 8, "judged": 8, "unreadable": 0},
    **{"kappa": 0.8, "kappa_interval": [0.7, 0.9], "labelled": 300},
}


def changed_score(**figures):
    """A file in which the first score has these figures."""

    def change(whole):
        score = next(iter(next(iter(whole["models"].values()))["scores"].values()))
        score.update({"right_minus_shuffled_interval": [-1, 1]} | figures)
        return json.dumps(whole)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda whole: "{", "not readable as JSON"),
        (lambda whole: "[" * 100_000, "not readable as JSON: it is nested too deeply"),
        (lambda whole: "[]", "is no ndino leaderboard"),
        (lambda whole: '{"models": {}}', "is no ndino leaderboard"),
        (changed("schema", to=True), "is no ndino leaderboard"),
        (lambda whole: '{"models": {"IT": {}, "IT": {}}}', "the key 'IT' is given twice"),
        (changed("schema", to=2), "has schema 2, and this version reads 1 (remedy: update this checkout"),
        (changed("models", to={}), "has no model"),
        (changed("models", to=[]), "field 'models' must be dict"),
        (changed("models", " ", to={}), "' ' is no name of a model"),
        (changed("models", "n" * 201, to={}), "is no name of a model"),
        (changed("columns", to={}), "in the column"),
        (changed("columns", "*", "version", to="9"), "was changed: its key is of something else"),
        (changed("columns", "*", "n", to=10.5), "field 'n' must be int"),
        (changed("columns", "*", "settings", to={"x": 1}), "field 'x' must be str"),
        (changed("models", "*", "answers", to={"torch": None}), "field 'torch' must be str"),
        (changed(*SCORE, "score", to=float("nan")), "field 'score' is nan, not a finite number"),
        (changed(*SCORE, "score", to=10**400), "not a finite number"),
        (changed(*SCORE, "score", to="1"), "field 'score' must be int or float"),
        (changed(*SCORE, "interval", to=[0.9, 0.1]), "field 'interval' is no interval"),
        (changed(*SCORE, "interval", to=[0.1, 0.2, 0.3]), "field 'interval' is no interval"),
        (changed("columns", "*", "n", to=-3), "field 'n' is -3, not 1 or more"),
        (changed(*SCORE, "score", to=9), "the score 9 lies outside its interval"),
        (changed(*SCORE, "interval", to=[0, 1e-3]), "lies outside its interval [0.0, 0.001]"),
        (changed_score(score=7, interval=[5, 9]), "the score 7 is no share from 0 to 1"),
        (changed_score(shuffled=0.1, right_minus_shuffled=0.75), "right_minus_shuffled is 0.75, and "),
        (changed_score(judged=[JUDGED | {"mean": 3}]), "the verdicts of j have the mean 3, not from 0 to 1"),
        (changed_score(judged=[JUDGED | {"kappa": 7}]), "the kappa of j is 7, not from -1 to 1"),
        (changed_score(judged=[JUDGED | {"judged": 9}]), "j has more verdicts than there are answers, 8"),
        (changed(*SCORE, "metrics", to={"robust": True}), "field 'robust' must be int or float"),
        (changed(*SCORE, "judged", to=[7]), "field 'judged' must be dict"),
        (changed(*SCORE, to={}), "field 'shuffled' must be"),
        (changed("models", "*", "perplexity", to={"x": {}}), "field 'paper' must be"),
    ],
)
def test_files_that_cannot_be_used_are_one_line(tmp_path, capsys, change, reason):
    path = file_of(write_model(tmp_path / "a", "IT"), tmp_path / "a.json")
    path.write_text(change(json.loads(path.read_text())))
    said = refused(capsys, "report", "--leaderboard", path, "--out", tmp_path / "out")
    assert str(path) in said and reason in said and "(remedy: " in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("metric", ["interval", "metric", "judged", "exact_match"])
def test_a_metric_cannot_take_the_place_of_a_figure(tmp_path, metric):
    path = file_of(write_model(tmp_path / "a", "IT"), tmp_path / "a.json")
    before = leaderboard_markdown(read(path))
    path.write_text(changed(*SCORE, "metrics", to={metric: 0.123})(json.loads(path.read_text())))
    assert leaderboard_markdown(read(path)) == before


@pytest.mark.parametrize("metric", ["interval", "judged", "n"])
def test_a_column_whose_metric_is_named_like_a_figure_is_refused(tmp_path, capsys, metric):
    board = board_of(write_model(tmp_path / "a", "IT"))
    ((key, column),) = board.columns.items()
    renamed, row = replace(column, metric=metric), board.models["IT"]
    models = {"IT": replace(row, scores={renamed.key: row.scores[key]})}
    path = tmp_path / "a.json"
    path.write_text(replace(board, columns={renamed.key: renamed}, models=models).text())
    said = refused(capsys, "report", "--leaderboard", path, "--out", tmp_path / "out")
    assert f"a metric cannot be named '{metric}' (remedy: " in said


def test_addresses_and_paths_of_this_machine_are_not_published(tmp_path):
    secret = {"model": "http://10.0.0.7:8000/v1#name", "arguments": {"peft": "/home/me/lora", "top": "1"}}
    text = board_of(write_model(tmp_path, "IT", answers=secret)).text()
    assert "10.0.0.7" not in text and "/home/me" not in text and "top" in text


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--leaderboard"],
        ["RUN", "--leaderboard", "a.json"],
        ["--leaderboard", "a.json"],
        ["RUN", "--out", "x"],
    ],
)
def test_a_run_or_files_and_a_folder_are_given(arguments, capsys):
    assert main(["report", *arguments]) == 2
    assert "(remedy: ndino report RUN --leaderboard, or " in capsys.readouterr().err


def test_a_run_in_the_place_of_a_file_is_told_how(small_run, tmp_path, capsys):
    said = refused(capsys, "report", "--leaderboard", small_run, "--out", tmp_path)
    assert f"is a folder (remedy: ndino report {small_run} --leaderboard" in said
    with pytest.raises(ResultsError, match="No such file or directory"):
        read(tmp_path / "nowhere.json")
