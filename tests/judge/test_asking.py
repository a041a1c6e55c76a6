"""A judge that gives its reason alone is asked once more, for the rating."""

from __future__ import annotations

from pathlib import Path

import pytest

from ndino.common.endpoint import Patience
from ndino.judge.asking import judge_items
from ndino.judge.judges import ServedJudge
from ndino.judge.prompts import JudgedItem, JudgePrompt
from ndino.judge.verdicts import JudgeVerdict, VerdictFile
from ndino.languages import language as languages
from tests.judge.judged import lines_of
from tests.servers import Body, Endpoint, says

PROMPT = JudgePrompt("it")
ITEM = JudgedItem("Che?", ("blu",), "Azzurro")
REASON = "Dice altro."


@pytest.fixture
def file(tmp_path: Path) -> VerdictFile:
    return VerdictFile(tmp_path / "verdicts.jsonl")


def asked_again(answer: str) -> Endpoint:
    """A judge that gives the reason first, and this answer when it is asked for the rating."""
    return Endpoint(lambda body: answer if len(body["messages"]) > 1 else REASON)


def verdict(server: Endpoint, file: VerdictFile) -> JudgeVerdict:
    judge = ServedJudge(server.url, "tiny", Patience(pause=0.001))
    items = {0: ITEM, 1: ITEM}
    found = judge_items(judge, PROMPT, items, file, file.known(), lambda place: {"row": place})
    assert found[0] == found[1]
    assert [line["row"] for line in lines_of(file.path)] == [0, 1]
    return found[0]


@pytest.mark.parametrize(("answer", "value"), [("Voto: 3", 1), ("1", 0), ("Non so.", None), ("1 o 2", None)])
def test_a_rating_that_is_missing_is_asked_for_once(file, answer, value):
    with asked_again(answer) as server:
        found = verdict(server, file)
        assert found == JudgeVerdict(value, f"{REASON}\n\nVoto (1, 2, 3)?\n{answer}")
        assert verdict(server, file) == found and len(server.asked) == 2
    first, again = server.asked
    assert again["messages"] == [
        *first["messages"],
        {"role": "assistant", "content": REASON},
        {"role": "user", "content": "Voto (1, 2, 3)?"},
    ]
    assert (again["temperature"], again["max_tokens"]) == (0, first["max_tokens"])


def test_a_judge_that_rates_is_not_asked_again(file):
    with Endpoint(lambda body: "Uguale.\nVoto: 3") as server:
        assert verdict(server, file) == JudgeVerdict(1, "Uguale.\nVoto: 3") and len(server.asked) == 1


def test_after_a_stop_between_the_two_only_the_rating_is_asked_for(file):
    with asked_again("Voto: 3") as server:
        server.script = [server.say, says(None, "content_filter")]
        assert verdict(server, file) == JudgeVerdict(None, REASON)
        assert verdict(server, file).value == 1
    assert [len(body["messages"]) for body in server.asked] == [1, 3, 3]


def test_thoughts_are_not_sent_back_and_an_empty_answer_is_none(file):
    def thinks(body: Body) -> str:
        return "Voto: 2" if len(body["messages"]) > 1 else f"<think>Voto: 1? Boh.</think>\n{REASON}"

    with Endpoint(thinks) as server:
        assert verdict(server, file).value == 0.5
    assert server.asked[1]["messages"][1]["content"] == REASON
    file.path.unlink()
    with Endpoint(lambda body: " ") as server:
        assert verdict(server, file).value is None and len(server.asked) == 1


@pytest.mark.parametrize("code", languages.codes())
def test_every_language_asks_for_the_rating_by_its_word(code):
    prompt = JudgePrompt(code)
    word = languages.language(code).words["judge_rating"][0]
    assert prompt.reminder == f"{word} (1, 2, 3)?" and prompt.verdict(prompt.reminder) is None
    assert prompt.reminder not in prompt.text(ITEM)
