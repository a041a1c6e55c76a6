"""Translating with a served model: a real server, and before it a proxy that fails where it is told to."""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ndino.common.endpoint import Patience
from ndino.common.errors import UsageError
from ndino.common.options import CommandParser
from ndino.data.errors import DataError
from ndino.data.translation import add_translation_arguments, open_translation
from ndino.data.translation.engines.llm import LanguageModel
from ndino.data.translation.engines.served import KEY_VARIABLE, ServedModel
from ndino.data.translation.pairs import Pair
from ndino.data.translation.rejection import BROKEN_OFF
from ndino.data.translation.translated_pairs import translate_pairs
from tests.commands import data as main
from tests.data.samples.cauldron_samples import draw_image
from tests.data.translation.translators.chat import (
    ENDLESS,
    ENGLISH,
    ITALIAN,
    NAME,
    TAUGHT,
    FlakyProxy,
)
from tests.servers import serving

KEY = "sk-very-secret"


@pytest.fixture(scope="module")
def server(chat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(chat_folder.parents[2], tmp_path_factory.mktemp("server") / "log") as url:
        yield url


@pytest.fixture
def proxy(server: str) -> Iterator[FlakyProxy]:
    with FlakyProxy(server) as made:
        yield made


def served(url: str, model: str = NAME, **settings: float) -> ServedModel:
    patience = Patience(**{"pause": 0.01, "attempts": 4, "timeout": 60.0, **settings})
    return ServedModel(url, model, ENGLISH, ITALIAN, requests=3, patience=patience)


def options(url: str) -> argparse.Namespace:
    parser = CommandParser()
    add_translation_arguments(parser)
    return parser.parse_args(["--translator", "served", "--translator-url", url, "--translator-model", NAME])


def test_a_served_model_translates_as_the_same_one_in_this_process(
    proxy: FlakyProxy, chat_folder: Path
) -> None:
    texts = [*TAUGHT, *reversed(TAUGHT)]
    here = LanguageModel(str(chat_folder), ENGLISH, ITALIAN).translate(texts)
    assert served(proxy.url).translate(texts) == here
    assert here[list(TAUGHT).index(ENDLESS)] is None  # finish_reason "length"
    assert {body["temperature"] for body in proxy.asked} == {0}
    assert 1 < proxy.most <= 3


def test_pairs_go_as_one_line_and_a_rerun_asks_for_nothing(proxy: FlakyProxy, tmp_path: Path) -> None:
    pairs = [
        Pair("What is he waiting for?", "", ("a train", "a cab"), 1),
        Pair("What is the man holding?", "a red umbrella"),
    ]
    for again in (False, True):
        with open_translation(options(proxy.url), tmp_path / "memory.sqlite") as translation:
            assert translate_pairs(pairs, translation, ENGLISH, ITALIAN) == [
                Pair("Che cosa aspetta?", "", ("un treno", "un taxi"), 1),
                Pair("Che cosa tiene in mano l'uomo?", "un ombrello rosso"),
            ]
            assert translation.translate([ENDLESS])[0].reason == BROKEN_OFF
            assert translation.counts["translated"] == (0 if again else 3)
    assert len(proxy.asked) == 3
    other = served(proxy.url, "another/model").identity
    assert NAME in translation.identity and NAME not in other


@pytest.mark.parametrize("fault", [429, 500, 503, "drop"])
def test_what_may_pass_is_tried_again(proxy: FlakyProxy, fault: int | str) -> None:
    proxy.faults = [fault, fault]
    texts = ["The sky is blue.", "a"]
    found = served(proxy.url).translate(texts)
    assert found == [TAUGHT[text] for text in texts]
    assert len(proxy.asked) == 4


def test_a_server_that_hangs_is_said_and_given_up(
    proxy: FlakyProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.faults = ["hang"] * 100
    with pytest.raises(DataError, match=r"no answer within 0.9 seconds; nothing else .* \(remedy: .*resume"):
        served(proxy.url, timeout=0.9, quiet=0.3).translate(["The sky is blue.", "a"])
    assert len(proxy.asked) == 2
    said = capsys.readouterr().err
    assert f"ndino data: {proxy.url}: no answer within 0.3 seconds; waiting, for 0.9 at most" in said


def test_the_server_says_when_to_try_again(proxy: FlakyProxy) -> None:
    proxy.faults = [429]
    assert served(proxy.url, pause=1000.0).translate(["a"]) == ["un"]


def test_a_server_that_fails_again_and_again_ends_the_run_in_one_line(proxy: FlakyProxy) -> None:
    proxy.faults = [503] * 100
    with pytest.raises(DataError, match=r"HTTP 503: fault 503, in 4 attempts \(remedy: .*rerun to resume"):
        served(proxy.url).translate(list(TAUGHT))
    # At most the three at work are tried four times; the texts that were waiting are not begun.
    assert len(proxy.asked) <= 3 * 4


def choice(content: str | None, end: str = "stop", **message: str) -> dict:
    """What a server says in place of a translation."""
    return {"index": 0, "finish_reason": end, "message": {"role": "assistant", "content": content} | message}


@pytest.mark.parametrize(
    "said",
    [
        choice(None),
        choice(None, "length", reasoning_content="First, the sky"),
        choice("", "length", reasoning_content="First, the sky"),
        choice("", reasoning="First, the sky"),
    ],
)
def test_reasoning_without_text_ends_the_run_and_is_no_verdict(
    proxy: FlakyProxy, tmp_path: Path, said: dict
) -> None:
    proxy.faults = [said]
    for again in (False, True):
        with open_translation(options(proxy.url), tmp_path / "memory.sqlite") as translation:
            if again:
                assert translation.translate(["The sky is blue."])[0].text == "Il cielo è blu."
                continue
            with pytest.raises(DataError, match=r"answers without text: .*remedy: switch off reasoning"):
                translation.translate(["The sky is blue."])


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"choices": [{"message": "Ciao", "finish_reason": "stop"}]}',
        *(
            json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}).encode()
            for content in ([{"type": "text", "text": "Ciao"}], {"text": "Ciao"}, 5, 1.5, True)
        ),
    ],
)
def test_an_answer_of_another_form_ends_the_run_in_one_line(proxy: FlakyProxy, body: bytes) -> None:
    proxy.faults = [body]
    with pytest.raises(DataError, match=r"answers with no chat completion: .*\(remedy: ") as refused:
        served(proxy.url).translate(["The sky is blue."])
    assert len(str(refused.value)) < 500


def test_retry_rejects_asks_again_for_what_came_back_empty_or_cut(
    proxy: FlakyProxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1.jpg").write_bytes(draw_image(1))
    texts = ("How many dogs are in the picture?", "The sky is blue.")
    turns = [{"from": who, "value": text} for who, text in zip(("human", "gpt"), texts, strict=True)]
    turns[0]["value"] = f"<image>\n{texts[0]}"
    rows = [{"id": "1", "image": "1.jpg", "conversations": turns}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    command = ["conversations", str(tmp_path / "rows.json"), "--images", str(tmp_path)]
    command += ["--out", str(tmp_path / "out"), "--translator", "served", "--translator-url", proxy.url]
    command += ["--translator-model", NAME]
    proxy.faults = [choice(""), choice("Il ci", "length")]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "the same command with --retry-rejects" in said
    proxy.asked.clear()
    assert main(command) == 1 and not proxy.asked  # without the option, the verdicts stay
    assert main([*command, "--retry-rejects"]) == 0
    assert len(proxy.asked) == 2
    made = [json.loads(line) for line in (tmp_path / "out" / "data.jsonl").read_text().splitlines()]
    assert [turn["value"] for turn in made[0]["conversations"]] == [
        f"<image>\n{TAUGHT[texts[0]]}",
        TAUGHT[texts[1]],
    ]
    assert not (tmp_path / "out" / "rejects.jsonl").read_text()


def test_a_text_that_the_server_refuses_is_rejected_and_the_others_go_on(proxy: FlakyProxy) -> None:
    proxy.refused = ("The sky is blue.",)
    assert served(proxy.url).translate(["The sky is blue.", "a"]) == [None, "un"]
    proxy.refused = ("Translate",)
    with pytest.raises(DataError, match=r"refuses to translate: HTTP 400: fault 400 \(remedy: "):
        served(proxy.url).translate(["The sky is blue."])


def test_a_server_that_is_not_there_or_serves_another_model_is_named(server: str, proxy: FlakyProxy) -> None:
    with pytest.raises(DataError, match=rf"serves {NAME}, not 'other' \(remedy: --translator-model {NAME}\)"):
        served(server, "other").translate(["a"])
    with pytest.raises(DataError, match=r"HTTP 404: .*remedy: --translator-url is the address before"):
        served(server.removesuffix("/v1")).translate(["a"])
    with FlakyProxy(server) as gone:
        pass
    with pytest.raises(DataError, match=r"no server answers: .*refused.*remedy: start it, as vllm serve"):
        served(gone.url).translate(["a"])
    assert not proxy.asked


def test_a_web_page_is_no_list_of_models(tmp_path: Path) -> None:
    class Pages(http.server.SimpleHTTPRequestHandler):
        extensions_map = {"": "text/html"}  # noqa: RUF012

    (tmp_path / "models").write_text("<html>hi</html>")
    handler = functools.partial(Pages, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, args=(0.02,), daemon=True).start()
        with pytest.raises(DataError, match=r"/models: answers with a web page \(remedy: "):
            served(f"http://127.0.0.1:{pages.server_port}").translate(["a"])
        pages.shutdown()


def test_the_key_is_read_from_the_environment_and_never_shown(
    proxy: FlakyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.key = KEY
    with pytest.raises(DataError, match=f"HTTP 401: .*without a key.*remedy: export {KEY_VARIABLE}"):
        served(proxy.url).translate(["a"])
    monkeypatch.setenv(KEY_VARIABLE, f"{KEY}-wrong")
    with pytest.raises(
        DataError, match=f"HTTP 401: Incorrect key: Bearer …, with the key in .*{KEY_VARIABLE}"
    ) as no:
        served(proxy.url).translate(["a"])
    assert KEY not in str(no.value)
    monkeypatch.setenv(KEY_VARIABLE, f"{KEY}\n")  # as read from a file
    with open_translation(options(proxy.url), tmp_path / "memory.sqlite") as translation:
        assert translation.translate(["a blue sky", "The sky is blue."])[1].text == "Il cielo è blu."
    assert KEY not in translation.identity
    assert KEY.encode() not in (tmp_path / "memory.sqlite").read_bytes()
    monkeypatch.setenv(KEY_VARIABLE, f"{KEY}\nX: y")
    with pytest.raises(UsageError, match="holds characters that no key has") as no:
        served(proxy.url).translate(["a"])
    assert KEY not in str(no.value)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "ftp://host/v1",
        "http://",
        f"http://me:{KEY}@host/v1",
        f"http://host/v1?key={KEY}",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(UsageError, match=r"^--translator-url.*\(remedy: ") as refused:
        served(url)
    assert KEY not in str(refused.value)
