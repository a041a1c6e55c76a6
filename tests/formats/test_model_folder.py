"""Saved model folders: weight names, vocabulary, tokenizer, settings that transformers 4 and 5 read alike."""

from __future__ import annotations

import copy
import itertools
import json

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, Gemma3TextConfig, PreTrainedTokenizerFast

from fixtures.chat_templates import chatml_tokenizer, gemma_tokenizer, mistral_tokenizer
from fixtures.llama3 import llama3_tokenizer
from fixtures.tiny import byte_level_bpe, tiny_tokenizer
from ndino.formats.model_folder import (
    PAD_TOKEN,
    make_portable,
    make_rope_portable,
    make_tokenizer_portable,
    missing_weights,
    padded_vocabulary,
    prepare_tokenizer,
    saved_name,
    set_end_of_answer,
)
from ndino.formats.prompts import (
    END_OF_TEXT,
    END_OF_TURN,
    IMAGE_TOKEN,
    MARKERS,
    Turn,
    encode_llama3,
    encode_plain,
)


@pytest.mark.parametrize(
    ("ours", "saved"),
    [
        (
            "model.language_model.layers.0.mlp.up_proj.weight",
            "language_model.model.layers.0.mlp.up_proj.weight",
        ),
        ("lm_head.weight", "language_model.lm_head.weight"),
        (
            "model.vision_tower.embeddings.class_embedding",
            "vision_tower.vision_model.embeddings.class_embedding",
        ),
        ("model.multi_modal_projector.linear_1.bias", "multi_modal_projector.linear_1.bias"),
        ("model.image_newline", "image_newline"),
    ],
)
def test_weights_are_saved_under_the_names_of_the_hub_s_models(ours, saved):
    assert saved_name(ours) == saved


@pytest.mark.parametrize(("size", "padded"), [(1, 64), (64, 64), (65, 128), (128258, 128320)])
def test_the_vocabulary_is_padded_to_a_multiple_of_64(size, padded):
    assert padded_vocabulary(size) == padded


def test_missing_weights_are_counted_and_one_is_named():
    assert missing_weights({"missing_keys": []}) == ""
    assert (
        missing_weights({"missing_keys": ["b.weight", "a.weight"]})
        == "2 weights are missing, a.weight among them"
    )


def test_a_language_model_s_tokenizer_gets_image_and_pad_token_and_adds_no_bos():
    tokenizer = prepare_tokenizer(tiny_tokenizer(base=True))
    assert tokenizer.pad_token == PAD_TOKEN
    ids = tokenizer(f"{IMAGE_TOKEN}!")["input_ids"]
    assert ids[0] == tokenizer.convert_tokens_to_ids(IMAGE_TOKEN) != tokenizer.unk_token_id
    assert tokenizer.pad_token_id not in tokenizer("! Che cos'è?")["input_ids"]
    size = len(tokenizer)
    assert len(prepare_tokenizer(tokenizer)) == size, "a second time it adds nothing"


def test_llama_3_s_own_bos_is_switched_off():
    tokenizer = prepare_tokenizer(copy.deepcopy(llama3_tokenizer()))
    assert tokenizer.bos_token_id not in tokenizer("Ciao")["input_ids"]
    assert tokenizer.decode(tokenizer("Perché così?")["input_ids"]) == "Perché così?"


@pytest.mark.parametrize("made", [chatml_tokenizer, gemma_tokenizer, mistral_tokenizer])
def test_a_tokenizer_of_any_kind_adds_no_token_by_itself_also_after_it_was_saved(made, tmp_path):
    plain = made()("un gatto", add_special_tokens=False)["input_ids"]
    tokenizer = prepare_tokenizer(made())
    assert tokenizer("un gatto")["input_ids"] == plain
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    make_tokenizer_portable(settings)
    path.write_text(json.dumps(settings))
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("un gatto")["input_ids"] == plain
    assert again.decode(plain) == made().decode(plain)
    assert again.pad_token == tokenizer.pad_token not in (again.eos_token, again.bos_token, again.unk_token)


def test_a_pad_token_that_the_chat_template_writes_is_replaced():
    tokenizer = chatml_tokenizer()
    assert prepare_tokenizer(tokenizer).pad_token == "<|endoftext|>"
    tokenizer.eos_token, tokenizer.pad_token = "<|endoftext|>", "<|im_end|>"
    assert prepare_tokenizer(tokenizer).pad_token == PAD_TOKEN


@pytest.mark.parametrize("special", [False, True])
def test_an_image_token_that_is_there_already_keeps_its_id(special):
    tokenizer = tiny_tokenizer(base=True)
    tokenizer.add_tokens([IMAGE_TOKEN], special_tokens=special)
    held = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    prepare_tokenizer(tokenizer)
    assert tokenizer(f"un{IMAGE_TOKEN}gatto")["input_ids"].count(held) == 1
    assert tokenizer.added_tokens_decoder[held].special
    assert IMAGE_TOKEN not in tokenizer.decode([held], skip_special_tokens=True)


def test_an_image_token_of_the_ordinary_vocabulary_is_one_token_and_special():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level_bpe(["un <image> gatto <image>"] * 9, 400, ["</s>"]), eos_token="</s>"
    )
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["model"]["vocab"]["<image>"] = held = len(tokenizer)
    rebuilt = Tokenizer.from_str(json.dumps(backend))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=rebuilt, eos_token="</s>")
    prepare_tokenizer(tokenizer)
    assert tokenizer("un<image>gatto")["input_ids"].count(held) == 1
    assert tokenizer.added_tokens_decoder[held].special and len(tokenizer) == held + 2


def test_a_pad_token_with_a_meaning_of_its_own_is_replaced_and_any_other_is_kept():
    """Many models derived from LLaMA 3 pad with an end marker; their end labels would be masked."""
    tokenizer = copy.deepcopy(llama3_tokenizer())
    turns = [Turn("user", "<image>\nChi è?"), Turn("assistant", "!")]
    for eos, pad in itertools.product([END_OF_TEXT, END_OF_TURN], [*MARKERS, IMAGE_TOKEN, "!", "<unk>"]):
        tokenizer.eos_token, tokenizer.pad_token = eos, pad
        assert prepare_tokenizer(tokenizer).pad_token == PAD_TOKEN, (eos, pad)
        for encoded in (encode_llama3(tokenizer, turns), encode_plain(tokenizer, "Ciao!")):
            assert tokenizer.pad_token_id not in encoded.input_ids
            assert encoded.labels[-1] in tokenizer.convert_tokens_to_ids([END_OF_TEXT, END_OF_TURN])
    for pad in ("<|reserved_special_token_3|>", "<|finetune_right_pad_id|>"):
        tokenizer.add_special_tokens({"pad_token": pad})
        size = len(tokenizer)
        assert prepare_tokenizer(tokenizer).pad_token == pad and len(tokenizer) == size


@pytest.mark.parametrize(("prompt", "end"), [("plain", "<|end_of_text|>"), ("llama3", "<|eot_id|>")])
def test_answers_end_at_their_prompt_s_marker_and_generation_at_either(prompt, end):
    tokenizer = tiny_tokenizer()
    generation = set_end_of_answer(tokenizer, prompt)
    assert tokenizer.eos_token == end
    assert tokenizer.convert_ids_to_tokens(generation.eos_token_id) == ["<|end_of_text|>", "<|eot_id|>"]
    assert generation.pad_token_id == tokenizer.pad_token_id and generation.do_sample is False


def test_rope_settings_of_transformers_5_become_those_of_4():
    text = {"rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}}
    make_rope_portable(text)
    assert text == {"rope_theta": 500_000.0, "rope_scaling": None}
    scaled = {"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "rope_theta": 500_000.0}}
    make_rope_portable(scaled)
    assert scaled == {"rope_theta": 500_000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    old = {"rope_theta": 500_000.0}
    make_rope_portable(old)
    assert old == {"rope_theta": 500_000.0}


@pytest.mark.parametrize("scaling", [None, {"rope_type": "linear", "factor": 8.0}])
def test_rope_settings_of_two_kinds_of_layers_are_read_back(scaling):
    """Gemma 3's, in the names of transformers 4."""
    config = Gemma3TextConfig(rope_theta=2e6, rope_local_base_freq=5e3, rope_scaling=scaling)
    text = config.to_dict()
    make_rope_portable(text)
    assert "rope_parameters" not in text
    assert (text["rope_theta"], text["rope_local_base_freq"], text["rope_scaling"]) == (2e6, 5e3, scaling)
    assert Gemma3TextConfig.from_dict(text).rope_parameters == config.rope_parameters


def test_tokenizer_settings_get_names_that_both_versions_read():
    settings = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": [IMAGE_TOKEN]}
    make_tokenizer_portable(settings)
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert settings["additional_special_tokens"] == [IMAGE_TOKEN] and "extra_special_tokens" not in settings


def test_a_folder_loses_what_names_this_machine(tmp_path):
    rope = {"rope_type": "default", "rope_theta": 500_000.0}
    config = {
        "_name_or_path": "/home/me",
        "text_config": {"_name_or_path": "/home/me", "rope_parameters": rope},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"is_local": True}))
    make_portable(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["text_config"]["rope_theta"] == 500_000.0
    for path in tmp_path.iterdir():
        assert "/home/me" not in path.read_text() and "is_local" not in path.read_text()
