"""Models behind a server: asked, scored, kept and resumed as those in a folder."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from ndino.common.endpoint import Patience, chat
from ndino.common.images import image_sha256
from ndino.evaluation.models import ENDPOINT_KEY
from ndino.results.logs import read_model
from tests.commands import evaluate as evaluate_command
from tests.evaluation.answerer import see
from tests.evaluation.benchmarks import COLOURS
from tests.evaluation.commands.results import log, results
from tests.servers import HTML, Body, Endpoint, Handler, hangs, replies, says, serving, snapshot_in

Ask = Callable[..., int]


def question(body: Body) -> tuple[str, Image.Image]:
    """What a request asks, and the image that it shows."""
    shown, asked = body["messages"][0]["content"]
    kind, _, content = shown["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64"
    return asked["text"], Image.open(io.BytesIO(base64.b64decode(content)))


def look(body: Body) -> str:
    """The right answer, by looking at the image."""
    text, image = question(body)
    return see(text, image) if image.getpixel((0, 0)) in COLOURS.values() else "grigio"


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with Endpoint(look, name="org/eyes") as made:
        yield made


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "Patience", lambda: Patience(attempts=3, pause=0.01, timeout=30))


@pytest.fixture
def ask(server: Endpoint, benchmark_folder: Path, tmp_path: Path) -> Ask:
    """Call the command on a server; returns its exit code."""

    def call(*arguments: object, tasks: str = "gqa-it", url: str = server.url) -> int:
        given = ["--endpoint", url, "--model", "org/eyes", "--data", benchmark_folder, "--tasks", tasks]
        return evaluate_command([str(each) for each in (*given, "--out", tmp_path / "eval", *arguments)])

    return call


def test_a_real_server_gives_the_scores_of_its_folder(
    run: Ask, tiny_model_folder: Path, benchmark_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model_folder, snapshot_in(tmp_path / "hub", "tiny/llava"))
    controls = ("--tasks", "gqa-it,mtvqa-it", "--shuffle", "--blank")
    assert run(*controls) == 0
    with serving(tmp_path / "hub", tmp_path / "log") as url:
        assert run(*controls, "--endpoint", url, model="served=tiny/llava") == 0
    local, served = (tmp_path / "eval" / name for name in ("it", "served"))
    for path in sorted(local.glob("*.jsonl")):
        assert (served / path.name).read_bytes() == path.read_bytes(), path.name
    assert len({row["answer"] for row in log(served / "gqa-it.jsonl")}) > 1
    entries = [results(folder)["tasks"]["gqa-it"] for folder in (local, served)]
    for name in ("metrics", "errors", "shuffled", "controls", "majority", "n"):
        assert entries[0][name] == entries[1][name]
    # The server counts the tokens of the image as well.
    usage = entries[1]["made_with"]["usage"]
    assert usage["answers"] == 4 and usage["prompt_tokens"] > 4 * 16 and 0 < usage["answer_tokens"] <= 64


def test_it_is_asked_what_our_models_are_asked(
    ask: Ask, server: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask("--shuffle", "--blank", tasks="gqa-it,seedbench-it,llava-bench-it") == 0
    folder = tmp_path / "eval" / "eyes"
    found = results(folder)
    tasks = found["tasks"]
    assert found["source"] == f"org/eyes at {server.url}"
    assert tasks["gqa-it"]["metrics"]["exact_match"] == tasks["seedbench-it"]["metrics"]["seed_image"] == 1.0
    assert tasks["gqa-it"]["shuffled"]["exact_match"] == 0.0
    assert tasks["gqa-it"]["depends"]["answers"]["model"] == f"{server.url} org/eyes"
    assert tasks["gqa-it"]["made_with"]["server"] == {"owned_by": "test"}
    usage = tasks["gqa-it"]["made_with"]["usage"]
    assert usage == {"answers": 4, "prompt_tokens": 4 * 7, "answer_tokens": 4 * 2}
    read_model(folder)

    rows = log(folder / "gqa-it.jsonl")
    shown = {image_sha256(question(body)[1]) for body in server.asked}
    assert {row["image_sha256"] for row in rows} <= shown
    limits = {(body["temperature"], body["max_tokens"]) for body in server.asked}
    assert limits == {(0, tasks[name]["depends"]["task"]["generation"]["max_new_tokens"]) for name in tasks}
    assert all(set(body) == {"model", "messages", "temperature", "max_tokens"} for body in server.asked)
    # A wrong image is another question's right one: only questions about new pairs cost something.
    asked = [json.dumps(body["messages"]) for body in server.asked]
    assert len(set(asked)) == len(asked)
    said = capsys.readouterr().err
    assert f"the server answered {len(asked)} questions: {len(asked) * 7} tokens in the prompts" in said

    # What is finished needs no server.
    assert ask("--shuffle", "--blank", tasks="gqa-it,seedbench-it,llava-bench-it") == 0
    assert len(server.asked) == len(asked)


def test_a_run_that_was_stopped_asks_only_for_what_has_no_answer(
    ask: Ask, server: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = "pope-it,gqa-it"
    server.script = [server.say] * 3
    server.always = replies(500, {"error": {"message": "out of order"}})
    assert ask("--batch", 2, tasks=tasks) == 1
    said = capsys.readouterr().err
    # One line: the second task is not begun.
    assert len(re.findall(r"stopped at \S+: http://\S+: HTTP 500: out of order, in 3 attempts", said)) == 1
    assert "failed" not in said and "rerun to resume" in said
    assert not list((tmp_path / "eval").glob("eyes/*.jsonl"))

    server.always = server.say
    server.asked.clear()
    assert ask("--batch", 2, tasks=tasks) == 0
    entry = results(tmp_path / "eval" / "eyes")["tasks"]["pope-it"]
    assert entry["metrics"]["pope_accuracy"] == 1.0
    # POPE asks the same of each of the four images three times; three of all eight were answered.
    assert len(server.asked) == 4 + 4 - 3
    assert entry["made_with"]["usage"]["answers"] == 4


def test_ctrl_c_ends_the_run_while_the_server_hangs(
    ask: Ask, server: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(handler: Handler, body: Body) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        hangs(20)(handler, body)

    server.script = [server.say, server.say, press]
    assert ask("--batch", 1) == 130
    assert "ndino evaluate: stopped (remedy: rerun to resume)" in capsys.readouterr().err
    (kept,) = (tmp_path / "eval" / ".cache" / "answers" / "eyes").glob("*.sqlite")
    with sqlite3.connect(kept) as database:
        assert database.execute("SELECT count(*) FROM answers").fetchone() == (2,)


def test_a_server_that_hangs_is_said_then_given_up_and_resumed(
    ask: Ask,
    server: Endpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat, "Patience", lambda: Patience(timeout=1.0, quiet=0.3))
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    server.script = [server.say] * 3
    server.always = hangs(60)
    assert ask("--batch", 2, tasks="pope-it,gqa-it") == 1
    said = capsys.readouterr().err
    assert f"ndino evaluate: {server.url}: no answer within 0.3 seconds; waiting, for 1 at most" in said
    assert said.count("no answer within 1 seconds; nothing else was answered either (remedy: ") == 1
    server.always = server.say
    server.asked.clear()
    assert ask("--batch", 2, tasks="pope-it,gqa-it") == 0
    assert len(server.asked) == 4 + 4 - 3


def test_the_key_is_sent_and_written_nowhere(
    ask: Ask,
    server: Endpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENDPOINT_KEY, "sk-very-secret")
    assert ask() == 0
    assert {key for *_, key in server.seen} == {"Bearer sk-very-secret"}
    server.always = replies(401, {"error": {"message": "Incorrect API key: sk-very-secret"}})
    server.asked.clear()
    assert ask("--batch", 1, "--name", "other", tasks="seedbench-it,exams-v-it") == 1
    assert len(server.asked) == 1  # at once, for all tasks
    said = capsys.readouterr()
    wanted = (
        f"HTTP 401: Incorrect API key: …, with the key in the environment variable {ENDPOINT_KEY} (remedy: "
    )
    assert said.err.count(wanted) == 1
    assert "very-secret" not in said.out + said.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5 and not any(b"very-secret" in path.read_bytes() for path in files)


def test_a_server_that_is_not_there_or_another_one_is_one_line(
    ask: Ask, server: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    with Endpoint() as gone:
        pass
    assert ask(url=gone.url) == 1
    assert "eyes: cannot be loaded: " in (said := capsys.readouterr().err)
    assert f"{gone.url}: no server answers: Connection refused (remedy: start it" in said
    with Endpoint(name="other") as other:
        assert ask(url=other.url) == 1
        assert "serves other, not 'org/eyes' (remedy: --model other)" in capsys.readouterr().err
        assert not other.asked


def test_a_question_that_the_server_refuses_is_named_and_other_tasks_are_asked(
    ask: Ask,
    server: Endpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    server.script = [replies(500, b"", kind=HTML), replies(413, {"error": {"message": "image too large"}})]
    assert ask("--batch", 1, tasks="gqa-it,seedbench-it") == 1
    said = capsys.readouterr().err
    assert f"ndino evaluate: {server.url}: HTTP 500: Internal Server Error; asked again, 3 times" in said
    assert f"gqa-it failed: gqa-it document 0: {server.url} refuses it: HTTP 413: image too large" in said
    assert set(results(tmp_path / "eval" / "eyes")["tasks"]) == {"seedbench-it"}

    server.always = replies(400, {"error": {"message": "it takes no images"}})
    server.asked.clear()
    assert ask("--batch", 1, "--name", "blind", tasks="gqa-it,seedbench-it") == 1
    said = capsys.readouterr().err
    assert "refuses a question about an image: HTTP 400: it takes no images (remedy: --model with" in said
    assert len(server.asked) == 2 and said.count("(remedy: ") == 1


def test_empty_answers_are_counted_and_asked_again_and_nothing_else_is_no_score(
    ask: Ask, server: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.always = says("")
    assert ask() == 1
    assert "all 4 answers are empty (remedy: " in capsys.readouterr().err
    assert not (tmp_path / "eval" / "eyes" / "gqa-it.jsonl").exists()
    server.always = server.say
    server.script = [says("no", "content_filter")]
    assert ask("--batch", 1) == 0
    assert "1 answers are empty" in capsys.readouterr().err
    assert log(tmp_path / "eval" / "eyes" / "gqa-it.jsonl")[0]["answer"] == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "vllm"], "--endpoint goes without --backend"),
        (["--endpoint", "localhost:8000"], "--endpoint localhost:8000: not a web address"),
        (["--endpoint", "http://me:sk-very-secret@host/v1"], "--endpoint: holds a password"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(
    ask: Ask, server: Endpoint, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert ask(*arguments) == 2
    assert said in (found := capsys.readouterr().err) and "secret" not in found
    assert not server.seen
