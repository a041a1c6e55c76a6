"""``ndino judge run``: kept answers are judged once, and their scores stand beside the judge's agreement."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures.chat_model import write_chat_model
from ndino.cli import main
from ndino.judge.prompts import JudgePrompt
from ndino.judge.verdicts import held
from ndino.results.logs import read_model
from tests.judge.judged import judge_by_text, judge_folder, lines_of, texts_in, write_log
from tests.servers import Endpoint, hangs, says

ROOT = Path(__file__).parents[2]
GQA = [
    ("Che colore?", "rosso", "rosso", "one"),
    ("Che forma?", "cerchio", "un cerchio blu", "one"),
    ("Quanti?", ["due", "2"], "tre", "two"),
    ("Dove?", "a destra", " ", "two"),
    ("Chi?", "una donna", "boh", "three"),
]
SHUFFLED = [(question, target, "rosso", image) for question, target, _, image in GQA]
# One grey image for all, where images are of one size.
BLANK = [(question, target, answer, "grey") for question, target, answer, _ in SHUFFLED]
MTVQA = [("Che colore?", "rosso", "rosso", "one"), ("Che c'è scritto?", "", "BAR", "two")]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a model's open answers, a control, and a task that is not judged."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run" / "eval" / "it"
    write_log(folder, "gqa-it", GQA)
    write_log(folder, "gqa-it", SHUFFLED, "shuffled")
    write_log(folder, "gqa-it", BLANK, "blank")
    write_log(folder, "mtvqa-it", MTVQA)
    write_log(folder, "pope-it", [("C'è?", "sì", "sì", "one")])
    return tmp_path / "run"


def judge(run: Path, url: str, *more: str) -> int:
    return main(["judge", "run", str(run), "--judge", f"{url}#tiny", *more])


def summary(run: Path, model: str = "it") -> dict:
    return json.loads((judge_folder(run / "eval" / model) / "judge.json").read_text())


def test_scores_by_hand_with_controls_and_everything_that_is_not_judged(run, capsys):
    with Endpoint(judge_by_text) as server:
        assert judge(run, server.url) == 0
        # 4 of 5 rows (an answer is empty), 3 more of 5 in the control (one is asked already; equal answers to
        # other questions are not), none in the second task: one is asked already, one has no right answer.
        assert len(server.asked) == 4 + 4 + 1  # one gives no rating, and is asked for it
    found = summary(run)
    assert found["sees_images"] is False and found["checks"] == {"it": None}
    gqa = found["tasks"]["gqa-it"]
    assert [gqa[name] for name in ("n", "judged", "unreadable", "empty", "without_reference")] == [
        5, 4, 1, 1, 0,
    ]  # fmt: skip
    assert gqa["mean"] == (1 + 0.5 + 0 + 0) / 4
    # Two images: 1.5 of two rows, 0 of two rows.
    assert gqa["interval"] == [0, 0.75]
    assert gqa["controls"]["shuffled"]["mean"] == gqa["controls"]["blank"]["mean"] == 1 / 5
    # Over the three images that the questions are about: over the grey one it would have no width.
    assert gqa["controls"]["blank"]["interval"] == gqa["controls"]["shuffled"]["interval"]
    assert gqa["controls"]["blank"]["interval"] == pytest.approx([0, 0.6245], abs=1e-4)
    assert found["tasks"]["mtvqa-it"]["without_reference"] == 1 and found["tasks"]["mtvqa-it"]["mean"] == 1
    # One right answer says little: Wilson's, which a bootstrap would not show.
    assert found["tasks"]["mtvqa-it"]["interval"] == pytest.approx([0.2065, 1], abs=1e-4)
    lines = lines_of(judge_folder(run / "eval" / "it") / "gqa-it.jsonl")
    assert [(line["doc_id"], line["doc_hash"], line["verdict"]) for line in lines] == [
        (place, f"hash-{place}", verdict) for place, verdict in enumerate([1, 0.5, 0, 0, None])
    ]
    assert lines[4]["raw"].startswith("Non so che voto dare.\n\nVoto (") and lines[3]["raw"] == ""
    said = capsys.readouterr()
    assert "1 of 15 verdicts could not be read" in said.err
    assert "(not checked) in it" in said.out and "| it | gqa-it | right images | 37.5 |" in said.out
    assert "pope-it" not in said.out and not (judge_folder(run / "eval" / "it") / "pope-it.jsonl").exists()


def test_what_is_done_is_not_asked_again_and_a_changed_answer_is(run):
    with Endpoint(judge_by_text) as server:
        assert judge(run, server.url) == 0
        before = {path.name: path.read_bytes() for path in judge_folder(run / "eval" / "it").iterdir()}
        asked = len(server.asked)
        assert judge(run, server.url) == 0 and len(server.asked) == asked
        assert before == {
            path.name: path.read_bytes() for path in judge_folder(run / "eval" / "it").iterdir()
        }
        write_log(run / "eval" / "it", "gqa-it", [*GQA[:2], ("Quanti?", ["due", "2"], "2", "two"), *GQA[3:]])
        assert judge(run, server.url) == 0 and len(server.asked) == asked + 1
        assert texts_in(server.asked[-1]) == ("Quanti?", ["due", "2"], "2")
        # Another model with the same answers costs nothing.
        write_log(run / "eval" / "other", "gqa-it", GQA[:3])
        assert judge(run, server.url) == 0 and len(server.asked) == asked + 1 + 1
    assert summary(run)["tasks"]["gqa-it"]["mean"] == 2.5 / 4
    assert summary(run, "other")["tasks"]["gqa-it"]["mean"] == 0.5


def test_the_report_reads_the_verdicts_as_long_as_the_answers_are_the_same(run):
    with Endpoint(judge_by_text) as server:
        assert judge(run, server.url) == 0
    read = read_model(run / "eval" / "it")
    (score,) = read.tasks["gqa-it"].judged
    assert (score.mean, score.judged, score.unreadable, score.kappa) == (1.5 / 4, 4, 1, None)
    assert not read.tasks["pope-it"].judged and not read.notes
    write_log(run / "eval" / "it", "gqa-it", [*GQA[:4], ("Chi?", "una donna", "un uomo", "three")])
    read = read_model(run / "eval" / "it")
    assert not read.tasks["gqa-it"].judged and read.tasks["mtvqa-it"].judged
    assert "are on other answers and left out; rerun ndino judge run" in " ".join(read.notes)


def test_scores_of_tasks_that_are_not_named_stay_unless_the_prompt_has_changed(run, monkeypatch):
    with Endpoint(judge_by_text) as server:
        assert judge(run, server.url, "--tasks", "gqa-it") == 0
        first = summary(run)["tasks"]["gqa-it"]
        assert judge(run, server.url, "--tasks", "mtvqa-it") == 0
        assert summary(run)["tasks"]["gqa-it"] == first and {*summary(run)["tasks"]} == {"gqa-it", "mtvqa-it"}
        monkeypatch.setattr("ndino.judge.prompts.VERSION", 0)
        asked = len(server.asked)
        assert judge(run, server.url, "--tasks", "mtvqa-it") == 0 and len(server.asked) == asked + 1
    assert {*summary(run)["tasks"]} == {"mtvqa-it"}


@pytest.mark.parametrize("text", ["[", "{}", '{"tasks": {"gqa-it": {}}}', '{"tasks": [1]}', "[" * 100_000])
def test_a_broken_summary_is_named(run, capsys, text):
    with Endpoint(judge_by_text) as server:
        assert judge(run, server.url, "--tasks", "mtvqa-it") == 0
        (judge_folder(run / "eval" / "it") / "judge.json").write_text(text)
        capsys.readouterr()
        assert judge(run, server.url, "--tasks", "mtvqa-it") == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert "judge.json: broken: " in error and "(remedy: remove it and rerun)" in error


def test_what_a_server_does_not_answer_is_asked_again_the_next_time(run, capsys):
    with Endpoint(judge_by_text) as server:
        server.script = [says(None, "content_filter")]
        assert judge(run, server.url, "--tasks", "mtvqa-it") == 0
        found = summary(run)["tasks"]["mtvqa-it"]
        assert (found["judged"], found["unreadable"], found["mean"], found["interval"]) == (0, 1, None, None)
        # Of the two answers, one is to a question without a right answer, which gets no verdict.
        assert "1 of 1 verdicts could not be read" in capsys.readouterr().err
        assert judge(run, server.url, "--tasks", "mtvqa-it") == 0 and len(server.asked) == 2
        assert judge(run, server.url, "--tasks", "mtvqa-it") == 0 and len(server.asked) == 2
    assert summary(run)["tasks"]["mtvqa-it"]["mean"] == 1


def test_a_task_without_right_answers_has_no_score(run, capsys):
    write_log(run / "eval" / "it", "m-wildvision-it", [("Che?", [], "Un gatto.", "one")] * 2)
    with Endpoint(judge_by_text) as server:
        assert judge(run, server.url, "--tasks", "m-wildvision-it,m-wildvision-it") == 0
        assert server.asked == []
    assert "| it | m-wildvision-it | right images | – |  | 2 | 0 | 0 | 2 |" in capsys.readouterr().out
    assert summary(run)["tasks"]["m-wildvision-it"]["without_reference"] == 2


def test_two_processes_do_not_judge_in_one_folder(run, capsys):
    with Endpoint(judge_by_text) as server:
        assert judge(run, server.url, "--tasks", "mtvqa-it") == 0
        with held(judge_folder(run / "eval" / "it")):
            assert judge(run, server.url) == 1
    assert "another process judges here (remedy: wait for it)" in capsys.readouterr().err


def test_models_and_tasks_can_be_named(run, capsys):
    write_log(run / "eval" / "other", "gqa-it", GQA)
    with Endpoint(judge_by_text) as server:
        assert judge(run, server.url, "--models", "it", "--tasks", "pope-it") == 0
        assert [texts_in(body)[0] for body in server.asked] == ["C'è?"]
        assert not (run / "eval" / "other" / "judge").exists()
        capsys.readouterr()
        assert judge(run, server.url, "--models", "nobody") == 2
        assert judge(run, server.url, "--tasks", "pope-es") == 2
        said = capsys.readouterr().err.splitlines()
    assert "no evaluated model 'nobody' (remedy: --models with some of it, other)" in said[0]
    assert "--tasks pope-es: not evaluated (remedy: some of gqa-it, mtvqa-it, pope-it)" in said[1]


def test_a_killed_run_loses_nothing(run):
    command = [sys.executable, "-m", "ndino", "judge", "run", str(run)]
    with Endpoint(judge_by_text) as server:
        server.script = [server.say] * 3
        server.always = hangs(60)
        process = subprocess.Popen(
            [*command, "--judge", f"{server.url}#tiny"],
            cwd=run.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + 120
        kept = run / "eval" / "it" / "judge"
        while time.monotonic() < limit:
            paths = [*kept.glob("*/gqa-it.jsonl")]
            # The empty answer, and what was answered.
            if paths and len(lines_of(paths[0])) == 4:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        (path,) = paths
        asked_before = [texts_in(body) for body in server.asked[:3]]
        with path.open("a") as file:
            file.write('{"doc_id": 4, "verd')  # as a kill in the middle of a line leaves it
        server.asked.clear()
        server.always = server.say
        assert judge(run, server.url) == 0
        again = [texts_in(body) for body in server.asked if len(body["messages"]) == 1]
    assert len(again) == 8 - 3 and not [texts for texts in again if texts in asked_before]
    assert summary(run)["tasks"]["gqa-it"]["mean"] == 1.5 / 4
    assert [line["doc_id"] for line in lines_of(path)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "broken line"),
        ("[]", "not a JSON object"),
        ('{"verdict": 1, "raw": ""}', "no key"),
        ('{"key": "k", "verdict": 2, "raw": ""}', "verdict is 2"),
        ('{"key": "k", "raw": ""}', "verdict is 'none'"),
        ('{"key": "k", "verdict": true, "raw": ""}', "verdict is True"),
        ('{"key": "k", "verdict": 1}', "no text"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_line_of_verdicts_is_named(run, capsys, line, said):
    with Endpoint(judge_by_text) as server:
        assert judge(run, server.url, "--tasks", "mtvqa-it") == 0
        path = judge_folder(run / "eval" / "it") / "mtvqa-it.jsonl"
        path.write_text(f"{line}\n{path.read_text()}")
        capsys.readouterr()
        assert judge(run, server.url, "--tasks", "mtvqa-it") == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert f"{path} row 1: broken line: " in error and said in error and "(remedy: remove the line" in error


def test_a_broken_log_and_a_run_without_open_answers(run, capsys):
    with Endpoint(judge_by_text) as server:
        with (run / "eval" / "it" / "gqa-it.jsonl").open("a") as file:
            file.write("{\n")
        assert judge(run, server.url) == 1
        assert "gqa-it.jsonl row 6: broken line" in capsys.readouterr().err
        write_log(run.parent / "closed" / "eval" / "it", "pope-it", [("C'è?", "sì", "sì", "one")])
        assert judge(run.parent / "closed", server.url) == 2
        assert "no evaluated task has open answers (remedy: " in capsys.readouterr().err
        assert server.asked == []


def test_a_model_with_random_weights_says_nothing_that_can_be_read(run, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("ndino.judge.judges.MOST_TOKENS", 8)
    monkeypatch.setattr("fixtures.chat_model.STEPS", 0)
    folder = write_chat_model(tmp_path / "random", {JudgePrompt("it")._request: "Voto: 3"})
    assert main(["judge", "run", str(run), "--judge", str(folder), "--tasks", "gqa-it"]) == 0
    found = summary(run)["tasks"]["gqa-it"]
    assert (found["judged"], found["unreadable"], found["mean"]) == (1, 4, 0)  # the empty answer is wrong
    assert "14 of 15 verdicts could not be read" in capsys.readouterr().err
