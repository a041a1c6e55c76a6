"""The mBLIP wrapper on a tiny random BLIP-2 with a T5, saved like mBLIP's folder, without an image token."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from lmms_eval.models import get_model
from lmms_eval.models.simple.mblip import MBlip
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
    T5Config,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from fixtures.tiny import byte_level_bpe
from tests.overlay.asking import ask, images

QUERIES = 4
SIZES = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
DOCUMENTS = [
    {
        "question": "Di che colore è?" if i % 2 else "C'è un gatto nell'immagine, vicino al cane?",
        "images": [image],
    }
    for i, image in enumerate(images(6))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mblip")
    backend = byte_level_bpe([document["question"] for document in DOCUMENTS], 300, ["<pad>", "</s>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")
    text = T5Config(
        vocab_size=320,  # more than the tokenizer has, as in mT0
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
        initializer_factor=4.0,
    )
    config = Blip2Config(
        vision_config=Blip2VisionConfig(
            image_size=28, patch_size=14, initializer_range=0.5, **SIZES
        ).to_dict(),
        qformer_config=Blip2QFormerConfig(encoder_hidden_size=32, initializer_range=0.5, **SIZES).to_dict(),
        text_config=text.to_dict(),
        num_query_tokens=QUERIES,
    )
    torch.manual_seed(0)
    model = Blip2ForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens)
    # mT0's head is not its embeddings, whatever its configuration says.
    model.language_model.lm_head.weight = torch.nn.Parameter(torch.randn(320, 32))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def mblip(folder) -> MBlip:
    return MBlip(str(folder), device="cpu", dtype="float32", batch_size=4)


def logits(mblip: MBlip, question: str, image) -> torch.Tensor:
    start = torch.tensor([[mblip.model.config.text_config.decoder_start_token_id]])
    with torch.no_grad():
        return mblip.model(**mblip.inputs([question], [image]), decoder_input_ids=start).logits


def test_lmms_eval_knows_it_by_name():
    assert get_model("mblip") is MBlip


def test_it_is_not_blind(mblip):
    first, second = (document["images"][0] for document in DOCUMENTS[:2])
    same = logits(mblip, "Di che colore è?", first)
    assert torch.equal(same, logits(mblip, "Di che colore è?", first))
    assert (same - logits(mblip, "Di che colore è?", second)).abs().max() > 1e-3


def test_every_row_starts_with_the_images_places(mblip):
    made = mblip.inputs(["Di che colore è?", "Sì?"], [document["images"][0] for document in DOCUMENTS[:2]])
    places = made["input_ids"] == mblip.model.config.image_token_index
    assert places[:, :QUERIES].all() and not places[:, QUERIES:].any()


def test_a_batch_answers_as_single_questions_do(mblip, folder):
    single = MBlip(str(folder), device="cpu", dtype="float32", batch_size=1)
    assert ask(mblip, DOCUMENTS) == ask(single, DOCUMENTS)


QUESTIONS = ["Di che colore è?", "Какого цвета?", "这是什么颜色？", "ما لونه؟", "रंग क्या है?", "è 🐈?"]


def test_a_question_reaches_the_model_in_any_language(mblip, folder):
    image = DOCUMENTS[0]["images"][0]
    made = mblip.inputs(QUESTIONS, [image] * len(QUESTIONS))
    read = mblip.tokenizer.batch_decode(made["input_ids"][:, QUERIES:], skip_special_tokens=True)
    assert read == QUESTIONS
    asked = [{"question": question, "images": [image]} for question in QUESTIONS]
    single = MBlip(str(folder), device="cpu", dtype="float32", batch_size=1)
    answers = ask(mblip, asked)
    assert answers == ask(single, asked)
    assert len(set(answers)) > 1


def test_its_answers_are_kept_until_its_weights_change(mblip, folder, tmp_path, monkeypatch):
    calls = []
    answer = MBlip._answer
    monkeypatch.setattr(MBlip, "_answer", lambda self, part: calls.append(len(part)) or answer(self, part))
    answers = [
        ask(MBlip(str(source), device="cpu", batch_size=4, answers=str(tmp_path / "answers")), DOCUMENTS)
        for source in (folder, folder, _retrained(folder, tmp_path / "retrained"))
    ]
    assert calls == [4, 2, 4, 2]
    assert answers[0] == answers[1] == ask(mblip, DOCUMENTS) != answers[2]


def _retrained(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    weights["language_model.lm_head.weight"] *= -1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def test_the_head_is_the_checkpoints_own(mblip, folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        saved = file.get_tensor("language_model.lm_head.weight")
    assert torch.equal(mblip.model.get_output_embeddings().weight, saved)
    assert not torch.equal(mblip.model.get_input_embeddings().weight, saved)


def test_two_images_are_rejected(mblip):
    two = [{"question": "Che cosa cambia?", "images": images(2)}]
    with pytest.raises(ValueError, match="2 images, mBLIP takes one"):
        ask(mblip, two)


def test_a_decoder_only_model_is_rejected(tmp_path):
    Blip2Config(text_config=OPTConfig().to_dict()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="decoder-only"):
        MBlip(str(tmp_path), device="cpu")
