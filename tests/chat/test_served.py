"""Models of a server on the page: streamed, of several rounds, and what is said where the server fails."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from ndino.chat import served
from ndino.chat.errors import ChatError
from ndino.chat.models import LocalModel, Progress, Prompt
from ndino.chat.served import ServerModel
from ndino.chat.session import ChatSession, ModelColumn
from ndino.cli import main
from ndino.evaluation.models import ENDPOINT_KEY
from tests.chat.conftest import MOST_TOKENS
from tests.chat.test_session import ask, said
from tests.servers import HTML, Body, Endpoint, Handler, half, replies, serving, snapshot_in

QUESTION = "Di che colore è?"


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with Endpoint() as made:
        yield made


def streams(*events: object, end: bool = True, wait: float = 0.0) -> Callable[[Handler, Body], object]:
    """Answer with a stream of these events, bytes as they are."""

    def stream(handler: Handler, body: Body) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        for event in events:
            content = event if isinstance(event, bytes) else f"data: {json.dumps(event)}\n\n".encode()
            handler.wfile.write(content)
            handler.wfile.flush()
            time.sleep(wait)
        handler.wfile.write(b"data: [DONE]\n\n" if end else b"")
        handler.drop()

    return stream


def delta(text: str | None, end: str | None = None, **more: object) -> dict:
    return {"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": end}]}


def answer(model: ServerModel, **changes) -> tuple[str, bool, list[Progress]]:
    steps: list[Progress] = []
    prompt = Prompt(**({"question": QUESTION, "rounds": (), "image": None, "max_new_tokens": 9} | changes))
    ended = model.answer(prompt, steps.append)
    return "".join(step.text for step in steps), ended, steps


def test_a_real_server_streams_what_its_folder_answers(models: Path, tmp_path: Path):
    shutil.copytree(models / "first", snapshot_in(tmp_path / "hub", "tiny/llava"))
    image = Image.new("RGB", (112, 90), (200, 30, 30))
    rounds = [("C'è un cerchio?", "No.")]
    local: list[Progress] = []
    prompt = Prompt(QUESTION, rounds, image, MOST_TOKENS)
    LocalModel(models / "first").answer(prompt, local.append)
    with serving(tmp_path / "hub", tmp_path / "log") as url:
        text, ended, steps = answer(
            ServerModel(f"{url}#tiny/llava"), rounds=rounds, image=image, max_new_tokens=MOST_TOKENS
        )
    assert text == "".join(step.text for step in local) and len(steps) > 3 and not ended


def test_what_is_sent_and_how_it_comes(server, monkeypatch):
    monkeypatch.setenv(ENDPOINT_KEY, "chiave")
    server.always = streams(
        delta("", role="assistant"),
        b": still there\n\n",
        delta(None, reasoning_content="mah"),
        delta("È "),
        delta("rosso"),
        delta(None, "length"),
    )
    image = Image.new("RGB", (30, 20), "red")
    text, ended, steps = answer(ServerModel(f"{server.url}#tiny"), rounds=[("A?", "B.")], image=image)
    assert (text, ended, [step.tokens for step in steps]) == ("È rosso", False, [1, 2, 3])
    (body,) = server.asked
    assert (body["model"], body["stream"], body["temperature"], body["max_tokens"]) == ("tiny", True, 0, 9)
    first, second, third = body["messages"]
    assert [second, third] == [{"role": "assistant", "content": "B."}, {"role": "user", "content": QUESTION}]
    assert first["content"][1] == {"type": "text", "text": "A?"}
    _, _, content = first["content"][0]["image_url"]["url"].partition("base64,")
    assert Image.open(io.BytesIO(base64.b64decode(content))).tobytes() == image.tobytes()
    assert {key for _, _, key in server.seen} == {"Bearer chiave"}
    # Some servers write in every part that there is no error.
    server.script = [streams(delta("sì") | {"error": None}, delta(None, "stop"))]
    assert answer(ServerModel(f"{server.url}#tiny"))[:2] == ("sì", True)
    # A server that streams nothing, and one that takes the limit by its newer name.
    newer = replies(400, {"error": {"message": "max_tokens: use max_completion_tokens"}})
    server.script, server.always = [newer], server.say
    text, ended, _ = answer(ServerModel(f"{server.url}#tiny"))
    assert (text, ended) == ("sì", True)
    assert server.asked[-1]["max_completion_tokens"] == 9 and "max_tokens" not in server.asked[-1]


def test_the_time_before_the_first_token_and_the_servers_count_of_tokens_are_shown(server):
    def late(handler: Handler, body: Body) -> None:
        time.sleep(0.3)  # it reads the image before it sends anything, the headers included
        streams(delta("È ros"), delta("so"), delta(None, "stop"), count)(handler, body)

    count = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 4}}
    refuses = replies(400, {"error": {"message": "Unrecognized request argument: stream_options"}})
    server.script, server.always = [late, refuses], late
    text, ended, steps = answer(ServerModel(f"{server.url}#tiny"))
    assert (text, ended, [step.tokens for step in steps]) == ("È rosso", True, [1, 2, 4])
    assert all(0.3 <= step.first < 10 for step in steps)
    assert steps[-1].seconds == steps[-2].seconds  # the count is no token
    # A server that does not know the field is asked without it.
    assert answer(ServerModel(f"{server.url}#tiny"))[0] == "È rosso"
    assert ["stream_options" in body for body in server.asked] == [True, True, False]


@pytest.mark.parametrize(
    ("does", "expected"),
    [
        (streams(delta("È "), end=False), "the answer broke off"),
        (half, "the answer broke off"),
        (replies(200, b"<html>", kind=HTML), "HTTP 200: <html>"),
        (
            replies(500, {"error": {"message": "out of memory"}}),
            "HTTP 500: out of memory (remedy: look at the server",
        ),
        (
            replies(400, {"detail": "serves 'other'; requested 'tiny'"}),
            "HTTP 400: serves 'other'; requested 'tiny' (remedy: correct the model's name",
        ),
        (
            replies(404, {"detail": "Not Found"}),
            "HTTP 404: Not Found (remedy: give the address before /chat/completions",
        ),
        (
            replies(401, {"error": "chiave is no key"}),
            f"HTTP 401: … is no key (remedy: export {ENDPOINT_KEY}",
        ),
        (
            replies(429, {"error": {"message": "slow down"}}),
            "HTTP 429: slow down (remedy: ask again in a while)",
        ),
        (
            replies(402, {"error": {"message": "no credit"}}),
            "HTTP 402: no credit (remedy: pay for the account that the key is of",
        ),
        (replies(200, {"choices": []}), "no answer of a model"),
        (replies(200, b""), "no answer of a model: an empty body"),
        (streams(b"data: {half\n\n"), "an event that is no JSON: {half"),
        (streams({"error": {"message": "no", "code": 500}}), "/v1: no (remedy: look at the server"),
        (streams(*[b": nothing\n\n"] * 40, wait=0.05), "no end within 0.5 seconds"),
        (lambda handler, body: time.sleep(2), "no answer within 0.5 seconds"),
    ],
)
def test_a_server_that_fails_is_one_line_in_its_column(server, monkeypatch, does, expected):
    monkeypatch.setenv(ENDPOINT_KEY, "chiave")
    whole = served.WHOLE
    monkeypatch.setattr(served, "WHOLE", 0.5 if "0.5 seconds" in expected else whole)
    server.always = does
    session = ChatSession([ModelColumn("it", f"{server.url}#tiny")], [], "it")
    session.load().join()
    *_, step = ask(session, 0)
    assert expected in step["error"] and step["error"].count("(remedy: ") == 1, step
    assert "\n" not in step["error"] and "chiave" not in step["error"]
    # It can be asked again.
    monkeypatch.setattr(served, "WHOLE", whole)
    server.always = streams(delta("ora sì"), delta(None, "stop"))
    again = ask(session, 0)
    assert said(again) == "ora sì" and again[-1] == {"end": "model"}


def test_an_answer_of_a_server_keeps_nobody_waiting_and_ends_with_the_page(server, session):
    server.always = streams(*[delta("a ")] * 200, wait=0.02)
    model = ServerModel(f"{server.url}#tiny")
    steps: list[Progress] = []

    def leave(step: Progress) -> None:
        steps.append(step)
        if len(steps) == 1:
            assert said(ask(session, 0))  # a local model, meanwhile
        if len(steps) == 3:
            raise BrokenPipeError

    mixed = ChatSession([], [], "it")
    mixed.columns, mixed._turns = [ModelColumn("it", server.url, model=model)], session._turns
    with pytest.raises(BrokenPipeError):
        ask_with(mixed, leave)
    assert len(steps) == 3


def ask_with(session: ChatSession, leave: Callable[[Progress], None]) -> None:
    from ndino.chat.messages import AnswerRequest

    request = AnswerRequest(model=0, image=None, rounds=[], question="Q", short=False, language="it")
    session.answer(request, lambda step: leave(Progress(step["text"], 0, 0, 0)))


def test_a_server_that_was_not_ready_is_asked_again_with_the_next_question(server):
    ready, server.models = server.models, lambda handler: handler.reply(401, {"error": "no key"})
    session = ChatSession([ModelColumn("it", f"{server.url}#tiny")], [], "it")
    session.load().join()
    assert session.state()["models"][0] == {
        "name": "it",
        "source": f"{server.url}#tiny",
        "state": "failed",
        "message": session.columns[0].message,
        "served": True,
    }
    assert "no key" in ask(session, 0)[-1]["error"] and not server.asked
    server.models = ready
    server.always = streams(delta("ora sì"), delta(None, "stop"))
    assert said(ask(session, 0)) == "ora sì"
    assert session.columns[0].state == "ready"


def test_a_server_that_is_not_there_or_has_another_model_is_said_in_its_column(server, capsys):
    gone = "http://127.0.0.1:9/v1"
    columns = [ModelColumn("a", f"{gone}#x"), ModelColumn("b", f"{server.url}#another")]
    session = ChatSession(columns, [], "it")
    session.load().join()
    assert [column.state for column in columns] == ["failed", "failed"]
    assert columns[0].message.startswith(f"{gone}: no server answers: Connection refused")
    assert "serves tiny, not 'another' (remedy: the address with # and tiny)" in columns[1].message
    with pytest.raises(ChatError, match="serves tiny, not ''"):
        ServerModel(server.url)
    for address in ("http://", "http://user:secret@host/v1#m", "http://host/v1?key=1#m"):
        assert main(["chat", address]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "(remedy: " in said and "secret" not in said
