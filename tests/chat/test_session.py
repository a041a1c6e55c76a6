"""What the page asks for, without a browser."""

from __future__ import annotations

import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib import request

import pytest
from lmms_eval.models.simple.llava_next_it import LlavaNextIt
from PIL import Image

from ndino.chat import images
from ndino.chat.errors import ChatError
from ndino.chat.images import HeldImages
from ndino.chat.messages import AnswerRequest, SampleRequest, parse_request
from ndino.chat.models import LocalModel, Progress, Prompt
from ndino.chat.server import HOST, ChatServer
from ndino.chat.session import ChatSession
from ndino.chat.turns import Turns
from ndino.cli import main
from ndino.common.images import ImageFaultError
from ndino.evaluation.inference.prompting import prompt_ids
from tests.chat.conftest import MOST_TOKENS
from tests.overlay.asking import ask as ask_wrapper

ROOT = Path(__file__).parents[2]
QUESTION = "Di che colore è il quadrato?"
INSTRUCTION = "\nRispondi utilizzando una sola parola o frase."


def png(colour: str, size: tuple[int, int] = (60, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def ask(session: ChatSession, model: int, **changes) -> list[dict]:
    fields = {"image": None, "rounds": [], "question": QUESTION, "short": True, "language": "it"}
    steps: list[dict] = []
    session.answer(AnswerRequest(model=model, **(fields | changes)), steps.append)
    return steps


def said(steps: list[dict]) -> str:
    return "".join(step.get("text", "") for step in steps)


def test_an_answer_is_the_one_that_is_evaluated_and_comes_token_by_token(session, models):
    content = png("red", (90, 112))
    steps = ask(session, 0, image=session.add_image(content, "a.png")["id"])
    wrapper = LlavaNextIt(str(models / "first"), device="cpu")
    with Image.open(io.BytesIO(content)) as image:
        document = {"question": QUESTION + INSTRUCTION, "images": [image]}
        assert [said(steps)] == ask_wrapper(wrapper, [document], max_new_tokens=MOST_TOKENS)
    assert steps[-1]["end"] in ("model", "limit")
    counted = [step["tokens"] for step in steps[:-1]]
    assert len({*counted}) > 2 and counted == sorted(counted) and counted[0] == 1
    assert all(step["seconds"] >= 0 < step["first"] for step in steps[:-1])


def test_a_later_round_is_asked_behind_the_earlier_ones_and_with_another_image_it_is_another_answer(session):
    model = session.columns[0].model
    asked = []
    before, model._model.generate = model._model.generate, lambda **inputs: asked.append(inputs)
    try:
        first = session.add_image(png("red"), "red.png")["id"]
        other = session.another_image(first)["id"]
        asked_before = {"question": QUESTION, "short": True, "language": "it"}
        # Thoughts are no part of them.
        rounds = [asked_before | {"answer": said} for said in ("<think>blu?</think>rosso", "<think>blu? O")]
        for image in (first, other):
            ask(session, 0, image=image, rounds=rounds, question="E ora?", short=False)
    finally:
        model._model.generate = before
    expected = prompt_ids(model._tokenizer, model._template, "E ora?", 1, [(QUESTION + INSTRUCTION, "rosso")])
    image_token = model._model.config.image_token_id
    for inputs in asked:
        ids = [token for token in inputs["input_ids"][0].tolist() if token != image_token]
        assert ids == [token for token in expected if token != image_token]
    assert asked[0]["pixel_values"].ne(asked[1]["pixel_values"][:, : asked[0]["pixel_values"].shape[1]]).any()


def test_a_model_that_fails_says_so_and_the_others_answer(session):
    assert [column.state for column in session.columns] == ["ready", "ready", "failed"]
    assert "missing" in session.columns[2].message and "(remedy: " in session.columns[2].message
    (step,) = ask(session, 2)
    assert step == {"error": session.columns[2].message}
    assert ask(session, 1)[-1]["end"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"question": " \n "}, "the question is empty"),
        ({"language": "xx"}, "no language 'xx'"),
        ({"model": 9}, "no model 9"),
        ({"image": "0" * 32}, "no longer in memory"),
        ({"question": "<|eot_id|> ciao"}, "holds the control token <|eot_id|>"),
        ({"question": "che <image> è?"}, "holds the control token <image>"),
        ({"question": "quanti? " * 4000}, "but the model's context is 4096"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(session, changes, said):
    changes = {"model": 0, **changes}
    (step,) = ask(session, changes.pop("model"), **changes)
    assert said in step["error"] and "(remedy: " in step["error"] and "\n" not in step["error"]


def test_an_answer_ends_when_the_page_has_left(session):
    model = session.columns[0].model
    shown: list[Progress] = []

    def leave(step: Progress) -> None:
        shown.append(step)
        if len(shown) == 3:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        model.answer(Prompt("Descrivi.", (), None, 400), leave)
    assert len(shown) == 3


def test_characters_of_several_tokens_are_shown_whole(models):
    model = LocalModel(models / "first")
    from ndino.chat.models import _Stream

    shown: list[Progress] = []
    stream = _Stream(model._tokenizer, model._ends, shown.append)
    import torch

    text = "perché 犬?"
    stream.put(torch.tensor([[1, 2, 3]]))  # the prompt
    ids = model._tokenizer(text, add_special_tokens=False)["input_ids"]
    for token in (*ids, model._ends[0]):
        stream.put(torch.tensor([token]))
    stream.end()
    assert "".join(step.text for step in shown) == text and stream.ended
    assert not any("\ufffd" in step.text for step in shown)
    assert "" in [step.text for step in shown[:-1]] and shown[-1].tokens == len(ids) + 1


def test_one_answer_at_a_time_in_the_order_of_asking():
    turns, inside, order, told = Turns(), threading.Event(), [], []
    leave = threading.Event()

    def first() -> None:
        with turns.turn(lambda before: None):
            inside.set()
            leave.wait(30)
            order.append("first")

    def tell(before: int) -> None:
        told.append(before)
        leave.set()

    def gone(before: int) -> None:
        raise BrokenPipeError

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(30)
    # One that leaves while it waits keeps nobody up.
    with pytest.raises(BrokenPipeError), turns.turn(gone):
        pass
    with turns.turn(tell):
        order.append("second")
    thread.join()
    assert order == ["first", "second"] and told[0] == 1


def test_images_are_bounded_and_the_oldest_forgotten(monkeypatch):
    held = HeldImages()
    first = held.add(png("red"), "../../etc/r ed<b>.png")
    assert (first.name, first.width, first.height) == ("r ed_b_.png", 60, 40)
    assert held.add(png("red"), "again").name == "again.png" and held.add(png("red")).name == "again.png"
    green = held.add(png("green"))
    assert green.name == f"{green.id[:12]}.png"
    with pytest.raises(ImageFaultError, match="more than 100,000,000 pixels"):
        held.add(two_hundred_megapixels())
    with pytest.raises(ImageFaultError, match="it is SVG"):
        held.add(b"<svg/>")
    monkeypatch.setattr(images, "KEPT_BYTES", len(first.content) * 2 + 30)
    held.get(first.id)
    held.add(png("blue"))
    assert held.get(first.id).content == first.content
    with pytest.raises(ChatError, match="no longer in memory"):
        held.get(green.id)


def test_another_image_has_other_pixels_and_each_is_given_once():
    held = HeldImages()
    only = held.add(png("red"))
    with pytest.raises(ChatError, match="no other image"):
        held.another(only.id)
    file = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(file, "BMP")
    same = held.add(file.getvalue())  # in another encoding
    with pytest.raises(ChatError, match="no other image"):
        held.another(same.id)
    all_held = [only, *(held.add(png(colour)) for colour in ("green", "blue", "yellow"))]
    others = [held.another(image.id).pixels for image in all_held]
    assert sorted(others) == sorted(image.pixels for image in all_held)
    assert all(other != image.pixels for other, image in zip(others, all_held, strict=True))


def test_a_conversation_is_a_row_that_is_trained_on(session, tmp_path, capsys):
    image = session.add_image(png("red"), "rosso.png")["id"]
    rounds = [
        {"question": QUESTION, "short": True, "language": "it", "answer": "<think>blu?</think> rosso\n"},
        {"question": "E <b>ora</b>?", "short": False, "language": "it", "answer": "È un quadrato rosso."},
    ]
    line = session.sample(SampleRequest(image=image, rounds=rounds))
    assert json.loads(line)["conversations"][:2] == [
        {"from": "human", "value": f"<image>\n{QUESTION}{INSTRUCTION}"},
        {"from": "gpt", "value": "rosso"},
    ]
    (tmp_path / "rows.jsonl").write_text(line + "\n", encoding="utf-8")
    (tmp_path / "rosso.png").write_bytes(png("red"))
    assert main(["data", "check", str(tmp_path / "rows.jsonl"), "--images", str(tmp_path)]) == 0
    assert "1 good rows" in capsys.readouterr().out
    with pytest.raises(ChatError, match="no training sample: "):
        session.sample(SampleRequest(image=image, rounds=[rounds[0] | {"answer": " "}]))
    with pytest.raises(ChatError, match=r"is not understood: rounds\.0\.short: Field required"):
        parse_request(SampleRequest, b'{"image": null, "rounds": [{"question": "a"}]}')


# The server.


def fetch(server: ChatServer, method: str, path: str, body: bytes | None = None, **headers):
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_requests_that_are_not_the_pages_are_refused(server):
    assert fetch(server, "GET", "/")[0] == 200
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        status, said = fetch(server, "GET", "/state", **headers)
        assert status == 403 and b"remedy" in said
    for path in ("/../cli.py", "/images/../../x", "/state/x", "/images/%2e%2e/file"):
        assert fetch(server, "GET", path)[0] in (400, 404)
    assert fetch(server, "POST", "/answer", b"[" * 100_000)[0] == 400
    assert fetch(server, "POST", "/answer", b'{"model": 0}')[0] == 400
    assert fetch(server, "POST", "/images", b"", Content_Length=str(images.MAX_BYTES + 1))[0] == 413
    status, said = fetch(server, "POST", "/images", png("red")[:50])
    assert status == 400 and b"image cannot be read" in said


def test_a_browser_keeps_nothing_and_an_upload_is_never_a_page(server):
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
    connection.request("POST", "/images", png("red"), {"X-Name": "<b>.html"})
    held = json.loads(connection.getresponse().read())
    connection.request("GET", f"/images/{held['id']}/file")
    answer = connection.getresponse()
    assert answer.read() == png("red")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


# The command.


def test_a_port_in_use_is_one_line_and_1(models, capsys):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["chat", str(models / "first"), "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"ndino chat: port {port} of 127.0.0.1: ") and said.count("\n") == 1
    assert "(remedy: choose another one with --port" in said


def test_ctrl_c_ends_the_page_and_an_answer_in_one_line_and_130(models, tmp_path):
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ndino", "chat", str(models / "first"), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == f"Open http://{HOST}:{port} (Ctrl-C ends it)\n"
    limit = time.monotonic() + 120
    while b'"ready"' not in request.urlopen(f"http://{HOST}:{port}/state").read():
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.2)
    asked = {"model": 0, "image": None, "rounds": [], "question": "Q", "short": False, "language": "it"}
    with request.urlopen(f"http://{HOST}:{port}/answer", json.dumps(asked).encode()) as answer:
        assert json.loads(answer.readline())["tokens"] == 1
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip() == "ndino chat: ended; nothing was kept"


def test_without_models_it_is_the_demos_or_one_line(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["chat"]) == 2
    assert "(remedy: make demo, or name a model folder)" in capsys.readouterr().err
    for place in ("mlp-pt-it", "mlp-pt-long"):
        (tmp_path / "runs" / "demo-fast" / place).mkdir(parents=True)
        (tmp_path / "runs" / "demo-fast" / place / "model").symlink_to(models / "first")
    with socket.create_server((HOST, 0)) as taken:
        assert main(["chat", "--port", str(taken.getsockname()[1])]) == 1
    assert "no models in runs/demo; these are from runs/demo-fast" in capsys.readouterr().err


def test_two_models_of_one_name_and_a_folder_of_another_kind_are_one_line(models, tmp_path, capsys):
    assert main(["chat", f"A={models / 'first'}", f"A={models / 'second'}"]) == 2
    assert "two models are called A" in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert main(["chat", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("(remedy: ") == 1


def two_hundred_megapixels() -> bytes:
    """The header of a PNG of 20,000 by 10,000 pixels."""
    whole = png("red", (1, 1))
    import struct
    import zlib

    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def test_the_examples_are_the_benchmarks_first_images_each_shown_once(session, benchmarks):
    shown = session.state()["examples"]
    assert 2 <= len(shown) <= 8 and all(example["question"] for example in shown)
    assert len({example["id"] for example in shown}) == len(shown)
    assert {"code": "it", "name": "italiano", "short": INSTRUCTION.strip()} in session.state()["languages"]


def test_a_folder_without_questions_is_refused(tmp_path, models, capsys):
    assert main(["chat", str(models / "first"), "--data", str(Path(tmp_path))]) == 2
    assert "no questions with images (remedy: name a folder of benchmarks" in capsys.readouterr().err
