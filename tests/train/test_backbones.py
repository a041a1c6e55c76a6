"""A language model that transformers knows and a tower like a CLIP become a model that trains and loads."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoProcessor, LlavaNextForConditionalGeneration

from fixtures.backbones import write_language_model, write_vision_tower
from fixtures.chat_templates import chatml_tokenizer, gemma_tokenizer, mistral_tokenizer
from ndino.formats.prompts import encode_plain
from ndino.formats.recipes import Adapter
from ndino.train.build import build_model, load_model, save_model
from ndino.train.dataset import TrainingSample
from ndino.train.engine import run_stage
from ndino.train.images import tile_anyres
from ndino.train.loss import supervised_loss
from ndino.train.packing.model import stops_early, use_packing
from ndino.train.stage import Stage
from ndino.train.trainer import layer_classes
from tests.train.conftest import interrupt
from tests.train.packing.test_attention import pack
from tests.train.samples import collate, image

# Each architecture with one tower, each tower with one or two. Those with a tokenizer of their own are
# trained with its chat template.
PAIRS = [
    ("llama", "siglip"),
    ("qwen3", "siglip2"),
    ("gemma3_text", "clip"),
    ("mistral", "siglip2"),
    ("olmo2", "siglip"),
]


TOKENIZERS = {"qwen3": chatml_tokenizer, "gemma3_text": gemma_tokenizer, "mistral": mistral_tokenizer}


def prompt_of(recipe, language):
    return dataclasses.replace(recipe, prompt="chat") if language in TOKENIZERS else recipe


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("any-backbone")
    for kind in dict.fromkeys(kind for kind, _ in PAIRS):
        tokenizer = TOKENIZERS[kind]() if kind in TOKENIZERS else None
        write_language_model(made / kind, kind, tokenizer=tokenizer)
    for kind in dict.fromkeys(kind for _, kind in PAIRS):
        write_vision_tower(made / kind, kind)
    return made


def inputs_of(processor):
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Cosa vedi?"}]}],
        add_generation_prompt=True,
    )
    picture = Image.linear_gradient("L").resize((200, 100)).convert("RGB")
    return processor(images=picture, text=text, return_tensors="pt")


def answer(model, inputs):
    with torch.no_grad():
        return model.generate(**inputs, max_new_tokens=6, do_sample=False)


@pytest.mark.parametrize(("language", "tower"), PAIRS)
def test_a_pair_trains_saves_loads_and_says_the_same(folders, rows, recipe, tmp_path, language, tower):
    recipe = dataclasses.replace(prompt_of(recipe, language), max_steps=2)
    stage = Stage(
        recipe=recipe,
        data=rows / "rows.jsonl",
        image_folder=rows / "images",
        out=tmp_path / "run",
        language_model=folders / language,
        vision_tower=folders / tower,
    )
    folder = run_stage(stage, on_step=lambda *_: None)
    model, processor = load_model(folder, recipe)
    begun, _ = build_model(folders / language, folders / tower, recipe)
    assert not torch.equal(model.lm_head.weight, begun.lm_head.weight), "it was trained"
    loaded = LlavaNextForConditionalGeneration.from_pretrained(folder).eval()
    inputs = inputs_of(AutoProcessor.from_pretrained(folder))
    assert inputs.keys() == inputs_of(processor).keys()
    assert all(torch.equal(value, inputs_of(processor)[name]) for name, value in inputs.items())
    with torch.no_grad():
        assert torch.equal(model.eval()(**inputs).logits, loaded(**inputs).logits)
    save_model(model, processor, tmp_path / "again", prompt=recipe.prompt)
    again = LlavaNextForConditionalGeneration.from_pretrained(tmp_path / "again").eval()
    assert torch.equal(answer(loaded, inputs), answer(again, inputs))
    config = json.loads((folder / "config.json").read_text())
    assert config["vision_feature_select_strategy"] == ("default" if tower == "clip" else "full")
    assert config["text_config"]["tie_word_embeddings"] == (language in ("qwen3", "gemma3_text"))


def sample(processor, picture, text):
    encoded = encode_plain(processor.tokenizer, text)
    ids, labels = torch.tensor(encoded.input_ids), torch.tensor(encoded.labels)
    return TrainingSample(row=1, input_ids=ids, labels=labels, tiles=[tile_anyres(picture, processor)])


@pytest.mark.parametrize(("language", "tower"), PAIRS)
def test_packed_samples_give_the_loss_of_padded_ones(folders, recipe, language, tower):
    built = build_model(folders / language, folders / tower, recipe := prompt_of(recipe, language))
    model, processor = built
    samples = [
        sample(processor, image((112, 112)), "un cerchio"),
        sample(processor, image((30, 200)), "un quadrato rosso e un cerchio blu"),
    ]
    with torch.no_grad():
        padded = supervised_loss(model.eval(), collate(built, *samples))
        use_packing(model)
        packed = supervised_loss(model, pack(built, *samples))
    assert packed.item() == pytest.approx(padded.item(), rel=1e-5)
    # Layers that are not like LLaMA's run everywhere.
    assert stops_early(model) == (language not in ("gemma3_text", "olmo2"))


def test_the_layers_that_fsdp_gathers_are_the_model_s(folders, recipe):
    model, _ = build_model(folders / "gemma3_text", folders / "siglip2", prompt_of(recipe, "gemma3_text"))
    assert layer_classes(model) == ["Gemma3DecoderLayer", "SiglipEncoderLayer"]


@pytest.mark.parametrize(
    "changes",
    [{"gradient_checkpointing": True}, {"adapter": Adapter("lora", r=4), "packing": True}],
    ids=["whole", "adapter"],
)
def test_a_stopped_run_resumes_as_if_it_had_not_been(folders, rows, recipe, tmp_path, changes):
    recipe = dataclasses.replace(prompt_of(recipe, "gemma3_text"), max_steps=4, **changes)
    start = {"language_model": folders / "gemma3_text", "vision_tower": folders / "siglip2"}
    data = {"data": rows / "rows.jsonl", "image_folder": rows / "images"}
    whole, stopped = (
        Stage(recipe=recipe, out=tmp_path / name, **data, **start) for name in ("whole", "part")
    )
    run_stage(whole, on_step=lambda *_: None)
    interrupt(stopped, at=3)
    run_stage(stopped, on_step=lambda *_: None)
    assert json.loads((stopped.out / "manifest.json").read_text())["resumed_from"] == "checkpoint-2"
    weights = [load_file(stage.out / "model" / "model.safetensors") for stage in (whole, stopped)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
