"""The chat page in Chromium: asked, stopped, compared; by keyboard, on a phone, in the dark."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Iterator

import pytest
from PIL import Image

from ndino.chat.models import ChatModel, Progress
from ndino.chat.server import ChatServer
from ndino.chat.session import ModelColumn
from ndino.cli import main
from tests.browser import CHROMIUM, needs_chromium
from tests.chat.test_session import png, two_hundred_megapixels
from tests.servers import Endpoint

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
pytestmark = needs_chromium
SECONDS = 30_000  # milliseconds, for a busy machine
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
DONE = "All answers are complete."


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server: ChatServer) -> Iterator:
    """The loaded page; whatever it asks of another address, or says of an error, fails the test."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        permissions=["clipboard-read", "clipboard-write", "camera"],
    )
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if "Content Security" in line.text else None)
    page.goto(server.address)
    page.get_by_text("Ready.").wait_for()
    yield page
    context.close()
    own = (server.address, "data:", "blob:")
    assert not errors and asked and not [url for url in asked if not url.startswith(own)]


def column(page, name: str):
    return page.get_by_role("region", name=name)


def choose(page, content: bytes, name: str = "rosso.png") -> None:
    page.locator("#file").set_input_files({"name": name, "mimeType": "image/png", "buffer": content})


def ask(page, question: str, *, done: str = DONE) -> None:
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Ask").click()
    page.get_by_text(done).wait_for()


class SlowModel(ChatModel):
    """A model that takes its time, and keeps what it was asked."""

    local = True

    def __init__(self, tokens: int = 1000) -> None:
        self.tokens, self.prompts, self.shown = tokens, [], 0

    def answer(self, prompt, show) -> bool:
        self.prompts.append(prompt)
        for number in range(1, self.tokens + 1):
            self.shown = number
            show(Progress(f"parola{number} ", number, number * 0.1, 0.5))
            time.sleep(0.02 if self.tokens > 10 else 0)
        return True


def test_two_models_answer_two_rounds_and_a_broken_one_says_why(page, session):
    choose(page, png("red", (300, 200)))
    page.get_by_text("Right image: rosso.png, 300 × 200 pixels").wait_for()
    ask(page, "Di che colore è?")
    for name in ("first", "second"):
        assert column(page, name).locator(".answer").inner_text().strip()
        assert "tokens/s, the first after" in column(page, name).locator(".figures").inner_text()
    assert "(remedy: " in column(page, "broken").locator(".state").inner_text()
    assert column(page, "broken").locator("li").count() == 0
    sent = []
    page.on("request", lambda request: sent.append(request.post_data) if "/answer" in request.url else None)
    page.get_by_label("long").check()
    page.get_by_label("Your question").fill("Quanti cerchi ci sono?")
    page.keyboard.press("Enter")
    page.get_by_text(DONE).wait_for()
    assert column(page, "first").locator("li").count() == 2
    asked = [json.loads(body) for body in sent]
    assert [(one["model"], one["short"], len(one["rounds"])) for one in asked] == [
        (0, False, 1),
        (1, False, 1),
    ]
    assert asked[0]["rounds"][0]["question"] == "Di che colore è?" and asked[0]["rounds"][0]["short"]
    assert (
        asked[0]["rounds"][0]["answer"].strip() == column(page, "first").locator(".answer").first.inner_text()
    )
    page.get_by_role("button", name="New conversation").click()
    assert page.locator("#columns li").count() == 0


def test_an_empty_answer_is_said_and_is_no_part_of_the_conversation(page, session, monkeypatch):
    class Mute(ChatModel):
        local = True

        def __init__(self) -> None:
            self.texts, self.rounds = ["", " \n", "Rosso."], []

        def answer(self, prompt, show) -> bool:
            self.rounds.append(prompt.rounds)
            show(Progress(self.texts[len(self.rounds) - 1], 1, 0.0, 0.5))
            return True

    mute = Mute()
    monkeypatch.setattr(session.columns[0], "model", mute)
    choose(page, png("red", (30, 20)))
    page.get_by_text("The image is chosen.").wait_for()
    copy = column(page, "first").get_by_role("button", name="Copy as sample")
    for number in range(3):
        ask(page, f"Domanda {number}?")
        empty = "the answer is empty" in column(page, "first").locator(".figures").nth(number).inner_text()
        assert empty == copy.is_disabled() == (number < 2)
    assert mute.rounds == [[], [], []]
    copy.click()
    page.get_by_text("is copied as a line").wait_for()
    sample = column(page, "first").get_by_label("The sample")
    turns = json.loads(sample.input_value())["conversations"]
    assert [turn["value"].splitlines()[-2:][0] for turn in turns] == ["Domanda 2?", "Rosso."]
    # The sample is gone with the next round, which it lacks, and so is the conversation with another image.
    mute.texts += ["Blu."]
    ask(page, "Domanda 3?")
    assert sample.is_hidden()
    choose(page, png("blue", (30, 20)), "blu.png")
    page.get_by_text("The image is chosen: a new conversation.").wait_for()
    assert page.locator("#columns li").count() == 0


def test_an_answer_streams_and_is_stopped_by_key_while_the_next_waits(page, session, monkeypatch):
    slow = [SlowModel(), SlowModel()]
    for number, model in enumerate(slow):
        monkeypatch.setattr(session.columns[number], "model", model)
    page.get_by_label("Your question").fill("Racconta.")
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("parola3 ").wait_for()
    page.get_by_text("waits for 1 other answer …").wait_for()
    assert page.locator(".answer[aria-busy=true]").count() == 2
    assert page.get_by_role("button", name="Ask").is_disabled()
    page.keyboard.press("Escape")
    page.get_by_text("Stopped.").wait_for()
    assert page.locator(".figures", has_text="stopped").count() == 2
    shown = page.locator(".answer", has_text="parola").inner_text()
    assert shown.startswith("parola1 parola2 ") and "parola900 " not in shown
    limit = time.monotonic() + 30
    while session._turns._queue and time.monotonic() < limit:
        time.sleep(0.05)
    # The model has stopped too, and the page can ask again.
    assert not session._turns._queue and max(model.shown for model in slow) < 900
    for model in slow:
        model.tokens = 3
    ask(page, "E ora?")
    # What was said so far belongs to the conversation, with the one model that had said anything.
    before = [model.prompts[-1].rounds for model in slow]
    (rounds,) = filter(None, before)
    assert rounds[0][1].startswith("parola1 ") and shown.startswith(rounds[0][1].strip())


def test_another_image_asks_the_same_with_other_pixels_and_leaves_the_conversation_alone(
    page, session, monkeypatch
):
    quick = SlowModel(tokens=2)
    monkeypatch.setattr(session.columns[0], "model", quick)
    page.get_by_role("button", name="Example: ").first.click()
    question = page.get_by_label("Your question").input_value()
    page.keyboard.press("Enter")
    page.get_by_text(DONE).wait_for()
    page.get_by_label("another image").check()
    column(page, "first").locator("li").nth(1).get_by_text("parola2").wait_for()
    page.get_by_text(DONE).wait_for()
    right, other = quick.prompts
    assert (right.question, right.rounds) == (other.question, other.rounds) and not right.rounds
    assert question in right.question and right.image.tobytes() != other.image.tobytes()
    assert page.locator("#shown").get_attribute("alt").startswith("Another image: ")
    assert column(page, "first").locator("li").nth(1).locator(".badge").inner_text() == "another image"
    # Back: the answer is there already. A later round is behind the right image's alone.
    page.get_by_label("right image").check()
    assert page.locator("#shown").get_attribute("alt").startswith("Right image: ")
    ask(page, "E poi?")
    assert len(quick.prompts) == 3 and len(quick.prompts[2].rounds) == 1
    assert quick.prompts[2].image.tobytes() == right.image.tobytes()


def test_html_is_text_and_a_copied_sample_is_valid(page, session, monkeypatch, tmp_path):
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script> & \"'"
    monkeypatch.setattr(session.columns[0], "model", SlowModel(tokens=2))
    monkeypatch.setattr(
        SlowModel, "answer", lambda self, prompt, show: show(Progress(hostile, 1, 0, 0)) or True
    )
    choose(page, png("red"), "<b>rosso.png")
    ask(page, hostile)
    assert column(page, "first").locator(".question").inner_text() == hostile
    assert column(page, "first").locator(".answer").inner_text() == hostile
    assert page.locator("#columns script, #columns [onerror]").count() == 0
    column(page, "first").get_by_role("button", name="Copy as sample").click()
    page.get_by_text("is copied as a line of LLaVA JSON").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == column(page, "first").get_by_label("The sample").input_value()
    row = json.loads(copied)
    assert row["conversations"][1] == {"from": "gpt", "value": hostile}
    (tmp_path / "rows.jsonl").write_text(copied, encoding="utf-8")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save the image").click()
    saved.value.save_as(tmp_path / row["image"])
    assert main(["data", "check", str(tmp_path / "rows.jsonl"), "--images", str(tmp_path)]) == 0


def test_images_come_by_paste_drop_and_camera_and_large_or_broken_ones_are_refused(page):
    alert = page.get_by_role("alert")
    choose(page, two_hundred_megapixels(), "grande.png")
    page.get_by_text("it has more than 100,000,000 pixels (remedy: scale it down)").wait_for()
    page.evaluate("page.most = 100")
    choose(page, png("red", (300, 200)), "pesante.png")
    page.get_by_text("bytes, and 100 are taken (remedy: choose a smaller one)").wait_for()
    page.evaluate("page.most = 1e6")
    choose(page, b"GIF89a", "rotta.gif")
    page.get_by_text("image cannot be read").wait_for()
    send = """async ([kind, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], kind + ".png", { type: "image/png" }));
      const event = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: data, bubbles: true })
        : new DragEvent(kind, { dataTransfer: data, bubbles: true });
      document.body.dispatchEvent(event);
    }"""
    page.evaluate(send, ["drop", list(png("green", (50, 40)))])
    page.get_by_text("Right image: drop.png, 50 × 40 pixels").wait_for()
    assert alert.inner_text() == ""
    page.evaluate(send, ["paste", list(png("blue", (70, 40)))])
    page.get_by_text(", 70 × 40 pixels").wait_for()
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the image").click()
    page.get_by_text(re.compile(r"[1-9]\d\d × \d{3,} pixels")).wait_for()
    assert page.locator("#video").is_hidden()
    page.evaluate("document.getElementById('shown').decode()")  # fails unless it is an image


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phones_width_does_not_scroll_sideways_and_everything_has_a_name(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    choose(page, png("red", (300, 200)), "un-nome-molto-lungo-senza-spazi" * 3 + ".png")
    ask(page, "Di" + " che" * 30 + " parolalunghissima" * 3 + "x" * 100)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    nameless = """() => [...document.querySelectorAll("button, input, select, textarea, a, img:not([alt])")]
      .filter(e => e.getClientRects().length)
      .filter(e => !(e.labels?.length || e.textContent.trim() || e.ariaLabel || e.alt))
      .map(e => e.outerHTML)"""
    assert page.evaluate(nameless) == []
    # Text on its ground, by WCAG 2's ratio.
    contrast = """() => {
      const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
        .map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
      const ground = (e) => { for (; e; e = e.parentElement) {
        const colour = getComputedStyle(e).backgroundColor; if (!/, 0\\)$/.test(colour)) return colour; } };
      const names = ["h1", ".source", ".figures", ".question", "#hint", "#status", "#ask", ".state.fault"];
      return names.map(name => {
        const e = document.querySelector(name), [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
        return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); });
    }"""
    assert min(page.evaluate(contrast)) >= 4.5


def test_the_keyboard_alone_is_enough(page):
    reached = []
    for _ in range(24):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.name || document.activeElement.id")
        reached.append(name)
    assert {"file", "camera", "language", "length", "shown", "question", "ask", "new"} <= set(reached)


def test_a_column_whose_server_is_started_later_answers(page, session, monkeypatch):
    with Endpoint() as served:
        ready, served.models = served.models, lambda handler: handler.reply(401, {"error": "no key"})
        late = ModelColumn("late", f"{served.url}#tiny")
        loading = threading.Thread(target=late.load)  # Playwright's event loop is in this one
        loading.start()
        loading.join()
        monkeypatch.setattr(session, "columns", [late])
        page.reload()
        page.get_by_text("Ready.").wait_for()
        assert "no key" in column(page, "late").locator(".state").inner_text()
        served.models = ready
        ask(page, "Di che colore è?")
        assert column(page, "late").locator(".answer").inner_text() == "sì"
        assert not column(page, "late").locator(".state").inner_text()


def test_a_server_that_has_ended_is_said(page):
    page.route("**/answer", lambda route: route.abort())
    page.get_by_label("Your question").fill("Ci sei?")
    page.get_by_role("button", name="Ask").click()
    column(page, "first").get_by_text(
        "the server does not answer (remedy: start ndino chat again)"
    ).wait_for()


def test_a_real_image_with_exif_is_shown_upright(page):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40), "red").save(file, "JPEG", exif=exif)
    choose(page, file.getvalue(), "girata.jpg")
    page.get_by_text("girata.jpg, 40 × 80 pixels").wait_for()
