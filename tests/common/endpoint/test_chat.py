"""Servers that fail in every way that was met: what may pass is tried again, the rest is one clear line."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ndino.common.endpoint import ChatEndpoint, Patience, Refused, Reply, Wording
from ndino.common.endpoint.address import is_on_this_machine
from ndino.common.endpoint.client import new_client
from ndino.common.endpoint.pace import Pace
from ndino.common.errors import UsageError, UserError
from tests.servers import (
    HTML,
    Body,
    Does,
    Endpoint,
    Handler,
    completion,
    drips,
    drops,
    half,
    hangs,
    replies,
    says,
)

KEY_VARIABLE, KEY = "NDINO_TEST_KEY", "sk-very-secret"
WORDING = Wording(
    url="--endpoint",
    model="--model",
    requests="--batch",
    key=KEY_VARIABLE,
    refuses="to answer",
    able="another model",
    error=UserError,
)
TOO_MANY = replies(429, {"error": {"message": "slow down"}}, headers={"Retry-After": "0"})


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with Endpoint(lambda body: body["messages"][0]["content"].upper()) as made:
        yield made


def request(text: str) -> dict:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 5}


def endpoint(server: Endpoint, *, model: str = "tiny", requests: int = 3, **patience: float) -> ChatEndpoint:
    settings = Patience(**{"attempts": 4, "pause": 0.001, "timeout": 20.0, **patience})
    return ChatEndpoint(server.url, model, WORDING, request("plain"), requests=requests, patience=settings)


def ask(asker: ChatEndpoint, *texts: str) -> list[Reply | Refused]:
    found: dict[int, Reply | Refused] = {}
    asker.ask([lambda text=text: request(text) for text in texts], found.__setitem__)
    return [found[place] for place in range(len(texts))]


def test_answers_come_in_their_places_a_few_at_a_time(server: Endpoint) -> None:
    two = threading.Barrier(2, timeout=60)  # an answer comes once another one is asked for
    server.always = lambda handler, body: (two.wait(), server.say(handler, body))
    texts = [f"text {number}" for number in range(12)]
    assert ask(endpoint(server), *texts) == [Reply(text.upper(), "stop", (7, 2)) for text in texts]
    assert 1 < server.most <= 3
    assert all(body["temperature"] == 0 and body["model"] == "tiny" for body in server.asked)
    assert [path for method, path, _ in server.seen if method == "GET"] == ["/v1/models"]


@pytest.mark.parametrize(
    "fault",
    [
        TOO_MANY,
        replies(429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        replies(429, headers={"Retry-After": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}),
        replies(503, {"message": "loading"}),
        replies(500, b"<html>oops</html>", kind=HTML),
        drops,
        half,
    ],
    ids=["429", "429 date", "429 no date", "503", "500", "drop", "half"],
)
def test_what_may_pass_is_tried_again(server: Endpoint, fault: Does) -> None:
    server.script = [fault, fault]
    found = ask(endpoint(server), "a", "b")
    assert [reply.text for reply in found if isinstance(reply, Reply)] == ["A", "B"]
    assert len(server.asked) == 4


def test_that_a_request_is_tried_again_is_said_once(server: Endpoint) -> None:
    said: list[str] = []
    asker = endpoint(server, requests=1)
    asker._notice = said.append
    server.script = [TOO_MANY]
    ask(asker, "a")
    assert not said  # a limit on the rate is no fault
    server.script = [replies(500, {"error": {"message": "out of memory"}}), drops]
    ask(asker, "a", "b")
    assert said == [f"{server.url}: HTTP 500: out of memory; asked again, 4 times at most"]


def test_that_a_server_is_silent_is_said_while_it_is_waited_for(server: Endpoint) -> None:
    said: list[str] = []
    asker = endpoint(server, quiet=0.1, requests=1)
    asker._notice = said.append
    server.always = lambda handler, body: (time.sleep(0.5), server.say(handler, body))
    ask(asker, "a", "b")
    assert said == [f"{server.url}: no answer within 0.1 seconds; waiting, for 20 at most"]
    # Also where the first ones were answered, and one was tried again.
    server.script = [replies(500), *[server.say] * 3]
    ask(asker, *"abcd")
    assert len(said) == 3 and "HTTP 500" in said[1] and "no answer within 0.1 seconds" in said[2]
    server.always = server.say
    ask(endpoint(server, quiet=30), "a")  # does not wait for it
    assert len(said) == 3


def test_what_a_server_says_of_a_limit_on_the_rate_is_said_while_it_is_waited_for(server: Endpoint) -> None:
    said: list[str] = []
    heard = threading.Event()
    asker = endpoint(server, quiet=0.1, requests=1, attempts=1)
    asker._notice = lambda line: (said.append(line), heard.set())
    server.script = [replies(429, {"error": {"message": "quota of the day"}})]
    with pytest.raises(UserError, match="quota of the day"):
        ask(asker, "a")
    server.always = lambda handler, body: (heard.wait(60), heard.clear(), server.say(handler, body))
    ask(asker, "a")
    waits = "waiting, for 20 at most"
    assert said == [f"{server.url}: no answer within 0.1 seconds (HTTP 429: quota of the day); {waits}"]
    # Once it has answered, what it said before is not why it is silent.
    ask(asker, "a")
    assert said[1:] == [f"{server.url}: no answer within 0.1 seconds; {waits}"]


def test_the_end_of_a_message_with_a_path_is_shown(server: Endpoint) -> None:
    path = "/scratch/" + "folder/" * 20
    server.always = replies(400, {"detail": f"serves '{path}'; requested 'tiny'"})
    with pytest.raises(UserError, match=r"folder/'; requested 'tiny' \(remedy: another model\)"):
        ask(endpoint(server), "a")


def test_an_answer_that_is_late_is_waited_for(server: Endpoint) -> None:
    server.script = [hangs(0.4)]
    assert ask(endpoint(server), "a") == [Reply("sì", "stop", (7, 2))]
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (replies(500, {"error": {"message": "broken"}}), "HTTP 500: broken"),
        (TOO_MANY, "HTTP 429: slow down"),
        (half, "peer closed connection"),
    ],
    ids=["500", "429", "half"],
)
def test_what_does_not_pass_ends_the_run(server: Endpoint, fault: Does, reason: str) -> None:
    server.always = fault
    with pytest.raises(UserError, match=rf": {reason}.*, in 4 attempts \(remedy: .*rerun to resume"):
        ask(endpoint(server), *"abcdef")
    # The three at work are tried four times; those that wait are not begun.
    assert len(server.asked) <= 3 * 4


@pytest.mark.parametrize("fault", [hangs(60), drips], ids=["hang", "drip"])
def test_a_server_that_hangs_is_given_up_when_its_requests_have_waited_once(
    server: Endpoint, fault: Does
) -> None:
    server.script = [server.say] * 2
    server.always = fault
    taken: dict[int, Reply | Refused] = {}
    said = r": no answer within 2 seconds; nothing else was .* \(remedy: start .*--batch .*rerun to resume"
    with pytest.raises(UserError, match=said):
        endpoint(server, timeout=2, attempts=8).ask([lambda: request("a")] * 9, taken.__setitem__)
    assert len(taken) == 2
    # Those that were sent before the last answer may have been sent again.
    assert len(server.asked) <= 2 + 3 + 2


@pytest.mark.parametrize("fault", [hangs(60), drips], ids=["hang", "drip"])
def test_a_request_that_is_left_alone_is_sent_again(server: Endpoint, fault: Does) -> None:
    server.script = [fault]
    assert [reply.text for reply in ask(endpoint(server, timeout=2), *"abcd")] == [*"ABCD"]
    assert len(server.asked) == 5


def test_a_request_waits_for_its_turn_while_others_are_answered(server: Endpoint) -> None:
    one_at_a_time = threading.Lock()

    def in_turn(handler: Handler, body: Body) -> None:
        with one_at_a_time:
            time.sleep(0.2)
            server.say(handler, body)

    server.always = in_turn
    # The last of eight waits for longer than a server may be silent.
    found = ask(endpoint(server, requests=8, timeout=1.2), *"abcdefgh")
    assert [reply.text for reply in found] == [*"ABCDEFGH"]
    assert len(server.asked) == 8


def test_a_connection_that_is_cut_without_a_word_is_found_by_the_system(server: Endpoint) -> None:
    async def options() -> tuple[int, int]:
        client = new_client(server.url, KEY_VARIABLE, 1)
        async with client, client.stream("GET", f"{server.url}/models") as answer:
            found = answer.extensions["network_stream"].get_extra_info("socket")
            alive = found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            return alive, found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)

    assert asyncio.run(options()) == (1, 60)


def test_what_was_answered_before_the_failure_was_handed_on(server: Endpoint) -> None:
    server.script = [server.say] * 5
    server.always = replies(500)
    taken: dict[int, Reply | Refused] = {}
    with pytest.raises(UserError, match="HTTP 500"):
        endpoint(server).ask([lambda: request("a")] * 9, taken.__setitem__)
    assert len(taken) == 5


def test_a_limit_on_the_rate_is_no_failure_while_others_are_answered(server: Endpoint) -> None:
    # Of any three requests two come too early: more refusals than a single request has attempts.
    server.script = [each for _ in range(15) for each in (TOO_MANY, TOO_MANY, server.say)]
    found = ask(endpoint(server, requests=8, attempts=6), *map(str, range(15)))
    assert [reply.text for reply in found if isinstance(reply, Reply)] == [str(n) for n in range(15)]
    assert len(server.asked) == 45


def test_the_pace_is_halved_and_comes_back() -> None:
    pace = Pace(8)
    pace.too_many()
    assert pace.allowed == 4
    for _ in range(10):
        pace.too_many()
    assert pace.allowed == 1
    for _ in range(100):
        pace.answered()
    assert pace.allowed == 8


def test_nothing_is_sent_before_the_server_wants_it(server: Endpoint) -> None:
    server.script = [replies(429, headers={"Retry-After": "0.5"})]
    began = time.monotonic()
    ask(endpoint(server, requests=1), "a", "b")
    assert time.monotonic() - began > 0.45  # no less than the server asks for, however slow the machine is


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (replies(200, b"<html>Sign in</html>", kind=HTML), "answers with no chat completion: <html>Sign in"),
        (replies(200, {"error": {"message": "no credit"}}), "answers with no chat completion: .*no credit"),
        (replies(200, {"choices": []}), "answers with no chat completion"),
        (replies(200, b"[" * 100_000), "answers with no chat completion: .*100,000 characters"),
        (replies(200, b"\xff\xfe"), "answers with no chat completion"),
        (replies(200, b'data: {"choices": []}\n\n'), "answers with no chat completion: data:"),
        (replies(200, completion({"text": "a"})), "answers with no chat completion"),
        (replies(200, completion("a", 5)), "answers with no chat completion"),
        (says(None), "answers without text: content is None"),
        (says("", "length", reasoning_content="First"), "answers without text: content is ''"),
        (says("<think>First", "length"), "answers without text: content is '<think>First'"),
        (says("<think>First</think>"), "answers without text: content is '<think>First</think>'"),
        (replies(200, b""), "answers with no chat completion: an empty body"),
        (replies(402, {"error": {"message": "no credit"}}), "HTTP 402: no credit"),
        (replies(404, {"detail": "no such model"}), "HTTP 404: no such model"),
        (replies(401, {"error": "who?"}), f"HTTP 401: who., without a key in .* {KEY_VARIABLE}"),
        (replies(403, b""), "HTTP 403: Forbidden, without a key"),
        (replies(307, headers={"Location": "https://elsewhere/v1"}), "HTTP 307: redirects to https://else"),
        (replies(200, b" " * (17 * 2**20)), "answers with more than 16 MB"),
    ],
)
def test_what_cannot_pass_ends_the_run_at_once(server: Endpoint, fault: Does, reason: str) -> None:
    server.always = fault
    with pytest.raises(UserError, match=rf"{reason}.*\(remedy: ") as refused:
        ask(endpoint(server, requests=1), *"abc")
    assert len(server.asked) == 1
    assert len(str(refused.value)) < 500 and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        (replies(200, b"<html>", kind=HTML), "/models: answers with a web page .*address before /chat"),
        (replies(401, b"no"), "HTTP 401: no, without a key"),
        (replies(302, headers={"Location": "/login"}), "/models: HTTP 302: redirects to /login"),
        (replies(200, {"data": [{"id": "other"}]}), r"serves other, not 'tiny' \(remedy: --model other\)"),
        (drops, "no server answers: Server disconnected"),
    ],
)
def test_a_server_is_looked_at_before_it_is_asked(server: Endpoint, models: Does, reason: str) -> None:
    server.models = lambda handler: models(handler, {})
    with pytest.raises(UserError, match=reason):
        ask(endpoint(server), "a")
    assert not server.asked


@pytest.mark.parametrize(
    "models",
    [
        replies(404),
        replies(503, {"error": {"message": "Loading model"}}),
        replies(200, b"["),
        replies(200, {"data": [{"id": "a"}, {"id": "b"}]}),
    ],
)
def test_a_list_of_models_is_not_needed(server: Endpoint, models: Does) -> None:
    server.models = lambda handler: models(handler, {})
    assert len(ask(endpoint(server), "a")) == 1


def test_a_closed_port_is_named() -> None:
    with Endpoint() as gone:
        pass
    with pytest.raises(UserError, match=r"no server answers: Connection refused \(remedy: start it, as vllm"):
        ask(endpoint(gone), "a")


def test_a_request_that_is_refused_is_handed_on_and_a_server_that_refuses_all_is_named(
    server: Endpoint,
) -> None:
    server.script = [replies(413, {"error": {"message": "too long"}})]
    assert ask(endpoint(server, requests=1), "a", "b") == [
        Refused("HTTP 413: too long"),
        Reply("B", "stop", (7, 2)),
    ]
    server.always = replies(400, {"error": {"message": "no images"}})
    with pytest.raises(UserError, match=r"refuses to answer: HTTP 400: no images \(remedy: another model\)"):
        ask(endpoint(server), "a")


def test_the_newer_name_of_the_limit_is_learned(server: Endpoint) -> None:
    said = {"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead."}}
    server.script = [replies(400, said)]
    assert len(ask(endpoint(server, requests=1), "a", "b")) == 2
    limits = [{name: body[name] for name in body if name.startswith("max")} for body in server.asked]
    assert limits == [{"max_tokens": 5}, *[{"max_completion_tokens": 5}] * 2]


@pytest.mark.parametrize(
    "said", [says("no", "content_filter"), says(None, refusal="I cannot help with that.")]
)
def test_an_answer_that_is_held_back_is_none(server: Endpoint, said: Does) -> None:
    server.always = said
    (found,) = ask(endpoint(server), "a")
    assert isinstance(found, Reply) and (found.text, found.end) == (None, "content_filter")


@pytest.mark.parametrize(
    "said",
    [
        says("Un gatto.", reasoning_content="Vediamo."),
        says("Un gatto.", reasoning="Vediamo."),
        says("<think>\nVediamo.\n</think>\n\nUn gatto."),
        says("Vediamo.</think>Un gatto."),
        says("[THINK]Vediamo.[/THINK]Un gatto."),
    ],
)
def test_a_thought_is_no_part_of_an_answer(server: Endpoint, said: Does) -> None:
    server.always = said
    assert ask(endpoint(server), "a") == [Reply("Un gatto.", "stop", (7, 2))]


@pytest.mark.parametrize(
    "usage", [None, [], {}, {"prompt_tokens": "7", "completion_tokens": 2}, {"prompt_tokens": -1}]
)
def test_a_server_need_not_count_tokens(server: Endpoint, usage: object) -> None:
    server.always = replies(200, {**completion("a"), "usage": usage})
    assert ask(endpoint(server), "a") == [Reply("a", "stop", None)]


def test_the_key_goes_to_the_server_alone(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, f"{KEY}\n")  # as read from a file
    ask(endpoint(server), "a")
    assert {key for *_, key in server.seen} == {f"Bearer {KEY}"}
    for echo in (
        replies(401, {"error": {"message": f"Incorrect key: {KEY}"}}),
        replies(401, f"{'x' * 70}{KEY}{'x' * 900}".encode()),
        replies(200, f"<html>{KEY}".encode()),
        replies(500, KEY.encode()),
        replies(404, KEY.encode()),
        replies(302, headers={"Location": f"/{KEY}"}),
    ):
        server.always = echo
        with pytest.raises(UserError) as refused:
            ask(endpoint(server, requests=1), "a")
        parts = [KEY[start : start + 8] for start in range(len(KEY) - 7)]
        assert not any(part in str(refused.value) for part in parts)


def test_a_server_that_sends_the_key_back_does_not_bring_it_into_files(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    server.models = lambda handler: handler.reply(200, {"data": [{"id": "tiny", "root": f"/models?{KEY}"}]})
    server.always = says(f"You sent Bearer {KEY}.")
    asker = endpoint(server)
    (found,) = ask(asker, "a")
    assert isinstance(found, Reply) and found.text == "You sent Bearer …."
    assert asker.listed == {"id": "tiny", "root": "/models?…"}


def test_the_key_is_not_taken_elsewhere(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with Endpoint() as other:
        server.always = replies(307, headers={"Location": f"{other.url}/chat/completions"})
        with pytest.raises(UserError, match=re.escape(f"redirects to {other.url}")):
            ask(endpoint(server), "a")
        assert not other.seen


def test_a_key_that_cannot_be_one_is_not_shown(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, f"{KEY}\nX: y")
    with pytest.raises(UsageError, match="holds characters that no key has") as refused:
        ask(endpoint(server), "a")
    assert KEY not in str(refused.value) and not server.seen


def test_no_proxy_stands_before_this_machine(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert len(ask(endpoint(server), "a")) == 1
    local = ("http://localhost:1/v1", "http://127.0.0.2/v1", "http://[::1]:1/v1")
    assert all(map(is_on_this_machine, local))
    assert not any(map(is_on_this_machine, ("http://node7:8000/v1", "https://api.example.org/v1")))
