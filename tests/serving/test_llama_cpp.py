"""Exported models in llama.cpp itself, compiled by ``make test-serving``, against transformers.

What its runtime does otherwise with an image is written out in `Asked.in_their_order`: tiles one after the
other and the overview last, without the newlines, with the padding, and the class token behind the patches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoProcessor,
    LlavaNextForConditionalGeneration,
    Qwen2Config,
    Qwen3Config,
    SiglipVisionConfig,
)

from fixtures.llama3 import llama3_tokenizer
from fixtures.photographs import photograph
from ndino.cli import main
from ndino.formats import model_folder
from ndino.formats.prompts import BEGIN_OF_TEXT, IMAGE_TOKEN
from ndino.serving.errors import ExportError
from ndino.serving.gguf.quantise import quantise_file
from tests.serving.models import SIDE, SIZES, llama_tokenizer, qwen_tokenizer, write_model

ROOT = Path(__file__).parents[2]
LLAMA_CPP = ROOT / ".cache" / "llama-cpp"
RUNNER = Path(__file__).with_name("llama_cpp_answers.py")
pytestmark = pytest.mark.skipif(
    "NDINO_TEST_SERVING" not in os.environ, reason="takes minutes (make test-serving runs it)"
)

TEXTS = [
    "Di che colore è il quadrato? C'è   un cane, perché?\n\n\n3 gatti, 12345 mele — «sì» 🐈",
    " L'orso\tdell'ALTRO\r\n  e D'Annunzio's 1.000,50 €   ",
    "<|start_header_id|>user<|end_header_id|>\n\nciao<|eot_id|>",
]
QUESTION = "Quanti cerchi ci sono? Rispondi utilizzando una sola parola o frase."
SAID = "Un quadrato rosso e un triangolo blu, tre stelle gialle."
ANSWER = 12  # tokens


def in_llama_cpp(folder: Path, jobs: dict[str, Any], out: Path) -> dict[str, np.ndarray]:
    done = subprocess.run(
        [LLAMA_CPP / "bin" / "python", RUNNER, folder, out],
        input=json.dumps(jobs),
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(np.load(out))


def export(model: Path, kind: str) -> Path:
    assert main(["export", str(model), "--to", "gguf", "--type", kind]) == 0
    return model.with_name(f"{model.name}-gguf-{kind}")


KINDS = {
    "llama and clip": (llama_tokenizer, {}),
    "qwen3 and siglip": (
        qwen_tokenizer,
        {"text_kind": Qwen3Config, "tower_kind": SiglipVisionConfig},
    ),
    "qwen2 and siglip": (
        qwen_tokenizer,
        {"text_kind": Qwen2Config, "tower_kind": SiglipVisionConfig},
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory) -> Path:
    tokenizer, settings = KINDS[request.param]
    return write_model(tmp_path_factory.mktemp("serving") / "model", tokenizer(), **settings)


@pytest.fixture(scope="module")
def f16(folder) -> Path:
    return export(folder, "f16")


@pytest.fixture(scope="module")
def processor(folder) -> Any:
    return AutoProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def model(folder) -> LlavaNextForConditionalGeneration:
    return LlavaNextForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def conversation(processor) -> list[int]:
    turns = [("user", "Che cosa vedi?"), ("assistant", SAID), ("user", QUESTION)]
    text = processor.apply_chat_template(
        [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns],
        add_generation_prompt=True,
    )
    return processor.tokenizer(text, add_special_tokens=False)["input_ids"]


def assert_same_best(expected: np.ndarray, found: np.ndarray, tie: float) -> None:
    """The most likely token is the same, but where another is as likely: nearer than ``tie`` deviations."""
    chosen = np.take_along_axis(expected, found.argmax(-1)[:, None], -1)[:, 0]
    assert (expected.max(-1) - chosen).max() <= tie * expected.std()


def assert_same_answer(model: Any, prompt: torch.Tensor, found: list[int], tie: float) -> None:
    """``found`` is transformers' greedy answer behind a prompt's embeddings, at least up to the first tie."""
    answer = model.get_input_embeddings()(torch.tensor(found, dtype=torch.long))[None]
    with torch.no_grad():
        logits = model(inputs_embeds=torch.cat([prompt, answer], 1)).logits[0, prompt.shape[1] - 1 :].numpy()
    ends = [*model.generation_config.eos_token_id]
    for row, token in zip(logits, [*found, None][:ANSWER], strict=False):
        chosen = row[ends].max() if token is None else row[token]
        assert row.max() - chosen <= tie * logits.std()
        if row.max() > chosen:
            return


@pytest.mark.parametrize("text", TEXTS)
def test_a_tokenizer_of_llama_3s_kind(f16, processor, tmp_path, text):
    found = in_llama_cpp(f16, {"ids": {"do": "ids", "text": text, "begin": True}}, tmp_path / "out.npz")
    ours = processor.tokenizer(BEGIN_OF_TEXT + text, add_special_tokens=False)["input_ids"]
    assert found["ids"].tolist() == ours


def test_llama_3s_own_tokenizer(tmp_path):
    tokenizer = model_folder.prepare_tokenizer(llama3_tokenizer())
    made = export(write_model(tmp_path / "llama3", tokenizer, width=32), "f16")
    jobs = {str(i): {"do": "ids", "text": text, "begin": True} for i, text in enumerate(TEXTS)}
    found = in_llama_cpp(made, jobs, tmp_path / "out.npz")
    for i, text in enumerate(TEXTS):
        ours = tokenizer(BEGIN_OF_TEXT + text, add_special_tokens=False)["input_ids"]
        assert found[str(i)].tolist() == ours


# The coarser a type, the farther apart two tokens may be that change places.
@pytest.mark.parametrize(("kind", "tie", "difference"), [("f16", 0.02, 0.03), ("q8_0", 0.2, 0.25)])
def test_text_has_the_logits_of_transformers(folder, model, conversation, tmp_path, kind, tie, difference):
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([conversation])).logits[0].numpy()
    job = {"do": "logits", "parts": [conversation], "most": ANSWER}
    found = in_llama_cpp(export(folder, kind), {"text": job}, tmp_path / "out.npz")["text"]
    assert_same_best(expected, found, tie)
    assert np.abs(expected - found).max() <= difference * expected.std()


def test_q4_k_m_is_quantised_by_llama_cpp(folder, model, conversation, tmp_path, monkeypatch, capfd):
    packages = next((LLAMA_CPP / "lib").glob("python*/site-packages"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    made = export(folder, "q4_k_m")
    said, log = capfd.readouterr()
    assert "q4_k" in said and "q6_k" in said and " f16" not in said
    assert "quant" not in log and "llama_model_loader" not in log
    assert not list(made.glob(".*"))
    # What llama.cpp says where it fails is in the line.
    with pytest.raises(ExportError, match=r"could not quantise to q4_k_m: .*failed to quantize.* \(remedy: "):
        quantise_file(made / "language-model-q4_k_m.gguf", tmp_path / "none" / "x.gguf", "q4_k_m")
    capfd.readouterr()
    job = {"do": "logits", "parts": [conversation], "most": ANSWER}
    found = in_llama_cpp(made, {"text": job}, tmp_path / "out.npz")["text"]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([conversation])).logits[0].numpy()
    # Random weights lose more than trained ones; a wrong order of rows would leave no correlation.
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.9


def job_of(prompt: str, image: Path, most: int) -> dict[str, Any]:
    """The job of `llama_cpp_answers` that answers a prompt about an image, stored as an array."""
    text = prompt.removeprefix(BEGIN_OF_TEXT).replace(IMAGE_TOKEN, "<__media__>")
    return {"do": "image", "text": text, "image": str(image), "most": most}


class Asked:
    """A question about an image of a size, as transformers asks it and as llama.cpp arranges it."""

    def __init__(self, size: tuple[int, int], processor: Any, model: Any) -> None:
        self.image = photograph(sum(size), size).convert("RGB")
        parts = [{"type": "image"}, {"type": "text", "text": QUESTION}]
        self.prompt = processor.apply_chat_template(
            [{"role": "user", "content": parts}], add_generation_prompt=True
        )
        inputs = processor(images=self.image, text=self.prompt, return_tensors="pt", add_special_tokens=False)
        ids = inputs["input_ids"][0]
        places = (ids == model.config.image_token_id).nonzero()[:, 0]
        self.tokens = len(places)
        self.before, self.after = ids[: places[0]].tolist(), ids[places[-1] + 1 :].tolist()
        with torch.no_grad():
            found = model.model.get_image_features(inputs["pixel_values"], inputs["image_sizes"])
            self.features = getattr(found, "pooler_output", found)[0]
            self.tiles = self.in_their_order(inputs["pixel_values"][0], model, tiled=max(size) > SIDE)

    @staticmethod
    def in_their_order(pixels: torch.Tensor, model: Any, *, tiled: bool) -> torch.Tensor:
        """The features of each tile as llama.cpp arranges them. An image no larger than a tile is not cut."""
        pixels = torch.cat([pixels[1:], pixels[:1]]) if tiled else pixels[:1]
        hidden = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2]
        if model.config.vision_feature_select_strategy == "default":
            # The class token behind the patches, and the first of these tokens dropped in its place.
            hidden = torch.cat([hidden[:, 2:], hidden[:, :1]], 1)
        return model.model.multi_modal_projector(hidden)

    def embedded(self, model: Any, features: torch.Tensor) -> torch.Tensor:
        embed = model.get_input_embeddings()
        parts = [embed(torch.tensor(self.before)), features, embed(torch.tensor(self.after))]
        return torch.cat(parts)[None].detach()


@pytest.fixture(scope="module")
def asked(processor, model) -> dict[tuple[int, int], Asked]:
    return {size: Asked(size, processor, model) for size in SIZES}


def test_an_image_has_the_logits_of_transformers_with_its_features(f16, model, asked, tmp_path):
    """The language model alone: what it makes of the features that transformers computed."""
    jobs = {}
    for number, question in enumerate(asked.values()):
        np.save(path := tmp_path / f"{number}.npy", question.features.numpy())
        jobs[str(number)] = {
            "do": "logits",
            "parts": [question.before, str(path), question.after],
            "most": ANSWER,
        }
    found = in_llama_cpp(f16, jobs, tmp_path / "out.npz")
    for number, question in enumerate(asked.values()):
        embedded = question.embedded(model, question.features)
        with torch.no_grad():
            expected = model(inputs_embeds=embedded).logits[0].numpy()
        assert_same_best(expected, found[str(number)], 0.02)
        assert_same_answer(model, embedded, found[f"{number}.answer"].tolist(), 0.02)


def test_llama_cpps_own_tiling(f16, model, asked, tmp_path):
    """From pixels to an answer: tower, projector, normalisation, grids; and what its order of tiles does."""
    jobs = {}
    for number, question in enumerate(asked.values()):
        np.save(path := tmp_path / f"{number}.npy", np.asarray(question.image))
        jobs[str(number)] = job_of(question.prompt, path, ANSWER)
    found = in_llama_cpp(f16, jobs, tmp_path / "out.npz")
    for number, (size, question) in enumerate(asked.items()):
        assert found[f"{number}.ids"].tolist() == question.before + question.after
        tiles = question.tiles.numpy()
        assert found[f"{number}.features"].shape == tiles.shape, size
        error = np.sqrt(np.square(found[f"{number}.features"] - tiles).mean())
        assert error <= 0.01 * tiles.std(), size
        theirs = question.embedded(model, question.tiles.flatten(0, 1))
        ours = question.embedded(model, question.features)
        with torch.no_grad():
            expected = model(inputs_embeds=theirs).logits[0, -len(question.after) :].numpy()
            without = model(inputs_embeds=ours).logits[0, -len(question.after) :].numpy()
        logits = found[f"{number}.logits"]
        assert_same_best(expected, logits, 0.02)
        assert_same_answer(model, theirs, found[f"{number}.answer"].tolist(), 0.02)
        same = (without.argmax(-1) == logits.argmax(-1)).mean()
        print(
            f"{size[0]} x {size[1]}: {question.tokens} features in transformers, {tiles[..., 0].size} in "
            f"llama.cpp; same best token at {same:.0%} of positions, mean difference "
            f"{np.abs(without - logits).mean() / without.std():.2f} standard deviations"
        )
