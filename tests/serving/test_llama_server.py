"""An exported model behind llama.cpp's own server, compiled by ``make test-serving``.

What llama.cpp makes of the files is compared with transformers in ``test_llama_cpp.py``. Here it is the
server's part: the prompt, the image as it comes over HTTP, the stream, the name of the model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from transformers import AutoProcessor

from fixtures.photographs import photograph
from ndino.chat.models import Progress, Prompt
from ndino.chat.served import ServerModel
from ndino.cli import main
from ndino.evaluation.tasks.framework.instructions import short_answer
from ndino.formats.prompts import BEGIN_OF_TEXT
from tests.evaluation.commands.results import log, results
from tests.servers import running
from tests.serving.conftest import QUESTIONS
from tests.serving.models import SIZES, llama_tokenizer, write_model
from tests.serving.test_llama_cpp import LLAMA_CPP, export, in_llama_cpp, job_of

pytestmark = pytest.mark.skipif(
    "NDINO_TEST_SERVING" not in os.environ, reason="takes minutes (make test-serving runs it)"
)
MOST = 16  # tokens, as the task has it
ASKED = [(question + short_answer("it"), size) for question in QUESTIONS for size in SIZES]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("server") / "random" / "model", llama_tokenizer())


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    return export(model, "f16")


@pytest.fixture(scope="module")
def processor(model: Path) -> Any:
    return AutoProcessor.from_pretrained(model)


@pytest.fixture(scope="module")
def url(exported: Path) -> Iterator[str]:
    """The address of the server, as `ndino export` says to start it, with one place for a conversation."""
    command = [LLAMA_CPP / "build" / "bin" / "llama-server", "-m", exported / "language-model-f16.gguf"]
    command += ["--mmproj", exported / "mmproj-f16.gguf", "--jinja", "--alias", "random"]
    with running([*command, "-np", 1, "-t", 1], exported.parent / "server.log", seconds=60) as url:
        yield url


def prompt_of(processor: Any, *parts: list[dict[str, str]]) -> str:
    """The prompt of training for the parts of each turn, of the user first."""
    turns = [{"role": ("user", "assistant")[place % 2], "content": part} for place, part in enumerate(parts)]
    return processor.apply_chat_template(turns, add_generation_prompt=True)


def written(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def same_text(one: str, other: str) -> bool:
    """Whether two answers are equal; a character that the limit cuts in two may be missing."""
    return one.strip().rstrip("\ufffd") == other.strip().rstrip("\ufffd")


@pytest.fixture(scope="module")
def expected(exported: Path, processor: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What llama.cpp, without the server, answers to the prompts of training."""
    folder = tmp_path_factory.mktemp("expected")
    jobs = {}
    for number, (text, size) in enumerate(ASKED):
        np.save(path := folder / f"{number}.npy", np.asarray(photograph(number, size).convert("RGB")))
        jobs[str(number)] = job_of(prompt_of(processor, [{"type": "image"}, written(text)]), path, MOST)
    found = in_llama_cpp(exported, jobs, folder / "out.npz")
    answers = [found[f"{number}.answer"] for number in range(len(ASKED))]
    return [processor.tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]


def test_the_servers_prompt_is_that_of_training(url: str, processor: Any) -> None:
    texts = ["Che cosa vedi?", "Un quadrato.", QUESTIONS[1]]
    messages = [
        {"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)
    ]
    base = url.removesuffix("/v1")
    prompt = httpx.post(f"{base}/apply-template", json={"messages": messages}).json()["prompt"]
    ours = prompt_of(processor, *([written(text)] for text in texts))
    assert prompt == ours.removeprefix(BEGIN_OF_TEXT)
    asked = {"content": prompt, "add_special": True, "parse_special": True}
    ids = httpx.post(f"{base}/tokenize", json=asked).json()["tokens"]
    assert ids == processor.tokenizer(ours, add_special_tokens=False)["input_ids"]


def test_an_evaluation_gets_llama_cpps_answers(
    url: str, data: Path, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--data", str(data), "--tasks", "mtvqa-it", "--shuffle", "--out", str(tmp_path / "eval")]
    assert main(["evaluate", "--endpoint", url, "--model", "served=random", *asked]) == 0
    rows = log(tmp_path / "eval" / "served" / "mtvqa-it.jsonl")
    same = sum(same_text(row["answer"], answer) for row, answer in zip(rows, expected, strict=True))
    assert len(set(expected)) > 5 and same == len(rows) == len(ASKED)
    entry = results(tmp_path / "eval" / "served")["tasks"]["mtvqa-it"]
    assert entry["made_with"]["server"]["owned_by"] == "llamacpp"
    # The path of the file, which it is called by without --alias, is refused and the name said.
    assert main(["evaluate", "--endpoint", url, "--model", "other", *asked]) == 1
    assert "serves random, not 'other' (remedy: --model random)" in capsys.readouterr().err


def test_the_chat_page_streams_llama_cpps_answers(url: str, expected: list[str]) -> None:
    server = ServerModel(f"{url}#random")
    for number, (text, size) in enumerate(ASKED[:5]):
        steps: list[Progress] = []
        server.answer(Prompt(text, [], photograph(number, size).convert("RGB"), MOST), steps.append)
        assert same_text("".join(step.text for step in steps), expected[number])
        assert 1 < steps[-1].tokens <= MOST and 0 < steps[-1].first < 60
