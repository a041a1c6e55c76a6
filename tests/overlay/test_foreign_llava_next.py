"""LLaVA-NeXT models that were not trained here: other text models, a tower without a class token, ChatML."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from lmms_eval.models.simple.llava_next_it import LlavaNextIt
from transformers import (
    Gemma2Config,
    GenerationConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    SiglipVisionConfig,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from fixtures.tiny import byte_level_bpe
from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.inference.prompting import prompt_text
from tests.commands import evaluate
from tests.evaluation.commands.results import log
from tests.evaluation.plain_answers import plain_answer

GRID = [[60, 30], [30, 60], [60, 60]]
MARKERS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
# As the processors of ChatML models have it: a text or a list of parts, images without a line of their own.
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for p in m['content'] %}{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES = dict(
    hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1
)
TEXT_MODELS: dict[str, type[PretrainedConfig]] = {"gemma2": Gemma2Config, "qwen3": Qwen3Config}


def write_foreign(folder: Path, kind: str) -> Path:
    """A random LLaVA-NeXT with a SigLIP tower, as plain transformers saves it."""
    texts = ["user", "assistant", "C'è del rosso nell'immagine?"] * 3
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level_bpe(texts, 320, MARKERS),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    sliding = {"sliding_window": 16} if kind == "gemma2" else {}
    text = TEXT_MODELS[kind](
        **SIZES, **sliding, vocab_size=384, head_dim=16, initializer_range=0.3, eos_token_id=2, pad_token_id=0
    )
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=30,
        patch_size=14,
    )
    torch.manual_seed(0)
    model = LlavaNextForConditionalGeneration(
        LlavaNextConfig(
            text_config=text,
            vision_config=vision,
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            image_grid_pinpoints=GRID,
            vision_feature_select_strategy="full",
            tie_word_embeddings=kind == "gemma2",
        )
    )
    # TowerVision's settings name a cache.
    special = {"cache_implementation": "hybrid"} if kind == "gemma2" else {}
    model.generation_config = GenerationConfig(eos_token_id=2, pad_token_id=0, **special)
    side = {"height": 30, "width": 30}
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": 30}, crop_size=side, image_grid_pinpoints=GRID, image_mean=[0.5] * 3
    )
    processor = LlavaNextProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="full", chat_template=TEMPLATE
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", TEXT_MODELS)
def test_its_answers_are_those_of_plain_transformers(kind, benchmark_folder, tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    folder = write_foreign(tmp_path / kind, kind)
    asked = ["--model", str(folder), "--data", str(benchmark_folder), "--tasks", "pope-it,ok-vqa-it"]
    assert evaluate([*asked, "--out", str(tmp_path / "eval")]) == 0

    model = LlavaNextForConditionalGeneration.from_pretrained(folder).eval()
    processor = LlavaNextProcessor.from_pretrained(folder)
    answers = []
    benchmarks = Benchmarks(["pope-it", "ok-vqa-it"], data=benchmark_folder, cache=tmp_path / "cache")
    benchmarks.load()
    for name in benchmarks.names:
        task = benchmarks.task(name)
        for number, row in enumerate(log(tmp_path / "eval" / kind / f"{name}.jsonl")[:4]):
            told = plain_answer(model, processor, task, number)
            assert row["answer"].strip() == told.strip()
            answers.append(told)
    # Otherwise nothing was compared.
    assert len(set(answers)) > 1


def test_one_without_a_template_is_refused(tmp_path):
    folder = write_foreign(tmp_path / "qwen3", "qwen3")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match=r"qwen3: has no chat template \(remedy: put a chat_template.jinja"):
        LlavaNextIt(str(folder), device="cpu")


def test_what_a_question_becomes(tmp_path):
    ours = LlavaNextIt(str(write_foreign(tmp_path / "qwen3", "qwen3")), device="cpu")
    assert ours.prefix_sharing.model_blocker is None

    def text(question: str, images: int) -> str:
        return prompt_text(ours.tokenizer, ours.chat_template, question, images)

    head, tail = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    assert text("Di che colore è?", 1) == f"{head}<image>Di che colore è?{tail}"
    assert text("Di che colore è?", 0) == f"{head}Di che colore è?{tail}"
    assert text("Prima <image> e poi <image>?", 2) == f"{head}Prima<image>e poi<image>?{tail}"
