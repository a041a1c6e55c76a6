"""Every kind of backbone: from its tokenizer to a model that trains, resumes, loads and is scored."""

from __future__ import annotations

import dataclasses
import os
import random
from argparse import Namespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoProcessor, AutoTokenizer, LlavaNextForConditionalGeneration

from miniature.architectures import BACKBONES, TOWERS
from miniature.architectures.language_models import LANGUAGE_KINDS
from miniature.backbones import TOWER_KINDS, make_tokenizer, pretrain_language_model, pretrain_tower
from miniature.demo import DemoError, check_engine, check_settings, folder_name, main, parser
from miniature.worlds.scenes import random_scene
from ndino.evaluation.benchmarks import Benchmarks
from ndino.languages.lexicon import lexicon
from ndino.train.engine import run_stage
from ndino.train.stage import Stage
from tests.commands import evaluate
from tests.evaluation.commands.results import log
from tests.evaluation.plain_answers import plain_answer
from tests.train.conftest import interrupt, recipe, rows  # noqa: F401

# Each language model with one tower, each tower with one or two. The demo has the paper's pair.
PAIRS = [("qwen3", "siglip2"), ("gemma3", "clip"), ("mistral", "siglip2")]


def texts() -> list[str]:
    rng = random.Random(0)
    return [random_scene(rng).caption(lexicon("it")) for _ in range(50)]


def options(*arguments: str) -> Namespace:
    return parser().parse_args(arguments)


def test_what_can_be_chosen_is_what_there_is():
    assert tuple(LANGUAGE_KINDS) == BACKBONES and tuple(TOWER_KINDS) == TOWERS
    assert {kind for kind, _ in PAIRS} == set(BACKBONES[1:]) and {kind for _, kind in PAIRS} == set(TOWERS)


@pytest.mark.parametrize("kind", BACKBONES)
def test_a_tokenizer_has_the_special_tokens_of_its_kind_and_any_text_round_trips(kind, tmp_path):
    make_tokenizer(iter(texts()), tmp_path, kind)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    of_kind = LANGUAGE_KINDS[kind]
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    assert added == set(of_kind.special) and tokenizer.chat_template == of_kind.chat_template
    assert (tokenizer.bos_token, tokenizer.eos_token) == (of_kind.begin, of_kind.end)
    for text in (*of_kind.special, "user"):
        assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1, text
    text = "Perché c'è un caffè? 12345 \U0001f600 <0x41>\n\n"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


@pytest.mark.parametrize(("backbone", "tower"), PAIRS)
def test_a_pair_trains_resumes_and_is_scored(
    backbone,
    tower,
    rows,  # noqa: F811
    recipe,  # noqa: F811
    benchmark_folder,
    tmp_path,
    monkeypatch,
):
    quiet = {"seed": 0, "steps": 2, "on_step": lambda *_: None}
    tokenizer = make_tokenizer(iter(texts()), tmp_path / "language-model", backbone)
    pretrain_language_model(tokenizer, tmp_path / "language-model", kind=backbone, **quiet)
    pretrain_tower(tmp_path / "vision-tower", kind=tower, **quiet)
    chat = dataclasses.replace(recipe, prompt="chat", max_steps=3, save_steps=2, packing=True)
    stopped, straight = (
        Stage(
            recipe=chat,
            data=rows / "rows.jsonl",
            image_folder=rows / "images",
            out=tmp_path / out,
            language_model=tmp_path / "language-model",
            vision_tower=tmp_path / "vision-tower",
        )
        for out in ("stopped", "straight")
    )
    interrupt(stopped, at=3)
    folder, whole = (run_stage(stage, on_step=lambda *_: None) for stage in (stopped, straight))
    weights, expected = (load_file(each / "model.safetensors") for each in (folder, whole))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())

    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    asked = ["--model", f"pair={folder}", "--tasks", "ok-vqa-it", "--data", str(benchmark_folder)]
    assert evaluate([*asked, "--out", str(tmp_path / "eval")]) == 0
    benchmarks = Benchmarks(["ok-vqa-it"], data=benchmark_folder, cache=tmp_path / "cache")
    benchmarks.load()
    task = benchmarks.task("ok-vqa-it")
    loaded = LlavaNextForConditionalGeneration.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    for number, row in enumerate(log(tmp_path / "eval" / "pair" / "ok-vqa-it.jsonl")):
        told = plain_answer(loaded, processor, task, number)
        assert told and row["answer"].strip() == told.strip()


def test_each_pair_has_a_folder_of_its_own_and_no_other(tmp_path):
    assert folder_name(options()) == "demo"
    assert folder_name(options("--tower", "siglip2", "--fast")) == "demo-siglip2-fast"
    qwen = options("--backbone", "qwen3", "--tower", "siglip2", "--lang", "es")
    assert folder_name(qwen) == "demo-es-qwen3-siglip2"
    pretrain_tower(tmp_path / "backbones" / "vision-tower", seed=0, steps=1, on_step=lambda *_: None)
    check_settings(tmp_path, options())
    with pytest.raises(DemoError, match=r"'tower': 'clip'.*'tower': 'siglip2'.*remedy: remove it or choose"):
        check_settings(tmp_path, options("--tower", "siglip2"))
    with pytest.raises(DemoError, match="trains LLaMA with CLIP alone"):
        check_engine(options("--backbone", "gemma3", "--engine", "llava-next"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ("--engine", "llava-next", "--backbone", "qwen3"),
            1,
            "ENGINE=llava-next trains LLaMA with CLIP alone "
            "(remedy: leave out BACKBONE and TOWER, or ENGINE)",
        ),
        (
            ("--backbone", "foo"),
            2,
            "BACKBONE=foo is not among llama, qwen3, gemma3, mistral "
            "(remedy: choose one of these, or leave BACKBONE out)",
        ),
        (
            ("--tower", "bar"),
            2,
            "TOWER=bar is not among clip, siglip2 (remedy: choose one of these, or leave TOWER out)",
        ),
    ],
)
def test_what_cannot_be_chosen_is_one_line_and_leaves_no_folder(arguments, code, said, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path / "out")]) == code
    assert capsys.readouterr().err == f"demo: {said}\n"
    assert not (tmp_path / "out").exists()
