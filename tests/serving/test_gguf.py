"""The GGUF files of a tiny model: every tensor and field, read back, against transformers and the folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader, TokenType, dequantize
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlavaNextForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen3Config,
    SiglipVisionConfig,
)

from ndino.cli import main
from tests.serving.models import qwen_tokenizer, write_model


@pytest.fixture(scope="session")
def exported(tmp_path_factory, tiny_model_folder) -> dict[str, Path]:
    """A folder of GGUF files by type. Not to be changed."""
    root = tmp_path_factory.mktemp("gguf")
    for kind in ("f16", "q8_0"):
        out = ["--type", kind, "--out", str(root / kind)]
        assert main(["export", str(tiny_model_folder), "--to", "gguf", *out]) == 0
    return {kind: root / kind for kind in ("f16", "q8_0")}


def fields(path: Path) -> dict[str, object]:
    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


def tensors(path: Path) -> dict[str, np.ndarray]:
    """The values of a file's tensors, as PyTorch orders their dimensions."""
    return {
        tensor.name: dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
        for tensor in GGUFReader(path).tensors
    }


@pytest.fixture(scope="module")
def weights(tiny_model_folder) -> dict[str, torch.Tensor]:
    """transformers' own names and values."""
    return LlavaNextForConditionalGeneration.from_pretrained(tiny_model_folder).state_dict()


# Of the largest value in a row or block: half a step of 10 bits of mantissa, and of 127 steps.
@pytest.mark.parametrize(("kind", "error"), [("f16", 2**-11), ("q8_0", 0.5 / 127 + 2**-11)])
def test_the_language_models_tensors(exported, weights, kind, error):
    made = tensors(exported[kind] / f"language-model-{kind}.gguf")
    theirs = {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    expected = {
        "token_embd.weight": weights["model.language_model.embed_tokens.weight"],
        "output_norm.weight": weights["model.language_model.norm.weight"],
        "output.weight": weights["lm_head.weight"],
    }
    for layer in (0, 1):
        for name, gguf_name in theirs.items():
            value = weights[f"model.language_model.layers.{layer}.{name}.weight"]
            if gguf_name in ("attn_q", "attn_k"):
                # In each of the two heads of 16 rows: 0, 8, 1, 9, … in place of 0, 1, 2, …
                rows = [16 * head + half * 8 + i for head in (0, 1) for i in range(8) for half in (0, 1)]
                value = value[rows]
            expected[f"blk.{layer}.{gguf_name}.weight"] = value
    assert set(made) == set(expected)
    for name, value in expected.items():
        # The tiny model's rows are one block of 32, or two.
        np.testing.assert_allclose(
            made[name], value.numpy(), rtol=0, atol=error * value.abs().max().item(), err_msg=name
        )


def test_the_language_models_fields(exported, tiny_model_folder):
    found = fields(exported["f16"] / "language-model-f16.gguf")
    text = json.loads((tiny_model_folder / "config.json").read_text())["text_config"]
    assert found["general.architecture"] == "llama" and found["general.file_type"] == 1
    assert fields(exported["q8_0"] / "language-model-q8_0.gguf")["general.file_type"] == 7
    for name, field in {
        "block_count": "num_hidden_layers",
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "rope.dimension_count": "head_dim",
        "vocab_size": "vocab_size",
    }.items():
        assert found[f"llama.{name}"] == text[field], name
    assert found["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(text["rms_norm_eps"])
    assert found["llama.rope.freq_base"] == text["rope_parameters"]["rope_theta"]


def test_the_mmprojs_tensors(exported, weights):
    made = tensors(exported["f16"] / "mmproj-f16.gguf")
    tower = "model.vision_tower."
    expected = {
        "v.class_embd": weights[f"{tower}embeddings.class_embedding"],
        "v.patch_embd.weight": weights[f"{tower}embeddings.patch_embedding.weight"],
        # The class token's, of row 0 in CLIP, comes last: llama.cpp puts that token behind the patches.
        "v.position_embd.weight": weights[f"{tower}embeddings.position_embedding.weight"][[1, 2, 3, 4, 0]],
        "v.pre_ln.weight": weights[f"{tower}pre_layrnorm.weight"],
        "v.pre_ln.bias": weights[f"{tower}pre_layrnorm.bias"],
        "v.image_newline": weights["model.image_newline"],
    }
    for number, theirs in ((0, 1), (2, 2)):
        for part in ("weight", "bias"):
            expected[f"mm.{number}.{part}"] = weights[f"model.multi_modal_projector.linear_{theirs}.{part}"]
    # Of two layers the features come from behind the first.
    for name, theirs in {
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_out": "self_attn.out_proj",
        "ln1": "layer_norm1",
        "ln2": "layer_norm2",
        "ffn_up": "mlp.fc1",
        "ffn_down": "mlp.fc2",
    }.items():
        for part in ("weight", "bias"):
            expected[f"v.blk.0.{name}.{part}"] = weights[f"{tower}encoder.layers.0.{theirs}.{part}"]
    assert set(made) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(made[name], value.numpy(), rtol=2**-10, atol=1e-7, err_msg=name)


def test_the_mmprojs_fields(exported):
    found = fields(exported["f16"] / "mmproj-f16.gguf")
    assert found["general.architecture"] == "clip" and found["general.type"] == "mmproj"
    assert found["clip.has_vision_encoder"] is True and found["clip.projector_type"] == "mlp"
    assert found["clip.use_gelu"] is False  # the tiny tower's is quick_gelu
    assert found["clip.vision.feature_layer"] == [1] and found["clip.vision.block_count"] == 1
    assert found["clip.vision.image_size"] == 56 and found["clip.vision.patch_size"] == 28
    # Height and width in the folder: [[112, 112], [56, 112], [112, 56]].
    assert found["clip.vision.image_grid_pinpoints"] == [112, 112, 112, 56, 56, 112]
    assert found["clip.vision.image_mean"] == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert found["clip.vision.image_std"] == pytest.approx([0.26862954, 0.26130258, 0.27577711])
    assert found["clip.vision.projection_dim"] == 32


def test_the_tokenizer(exported, tiny_model_folder):
    """A tokenizer made of nothing but the file's fields gives the ids of the folder's."""
    found = fields(exported["f16"] / "language-model-f16.gguf")
    tokens, kinds = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    ours = PreTrainedTokenizerFast.from_pretrained(tiny_model_folder)
    normal = {token: number for number, token in enumerate(tokens) if kinds[number] == TokenType.NORMAL}
    control = {token: number for number, token in enumerate(tokens) if kinds[number] == TokenType.CONTROL}
    assert control == {token: number for token, number in ours.get_added_vocab().items()}
    assert normal | control == ours.get_vocab()
    assert kinds.count(TokenType.UNUSED) == 448 - len(ours) == len(tokens) - len(ours)
    assert len({*tokens}) == 448
    merges = [tuple(pair.split(" ")) for pair in found["tokenizer.ggml.merges"]]
    rebuilt = Tokenizer(models.BPE(normal | control, merges))
    rebuilt.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # what gpt-2 means
    rebuilt.decoder = decoders.ByteLevel()
    assert found["tokenizer.ggml.model"] == "gpt2" and found["tokenizer.ggml.pre"] == "gpt-2"
    text = "Di che colore è il quadrato? C'è   un cane, perché?\n\n3 gatti — «sì» 🐈"
    assert rebuilt.encode(text).ids == ours(text, add_special_tokens=False)["input_ids"]
    for name in ("bos", "eos", "padding"):
        text = getattr(ours, f"{'pad' if name == 'padding' else name}_token")
        assert tokens[found[f"tokenizer.ggml.{name}_token_id"]] == text
    assert found["tokenizer.ggml.add_bos_token"] is True  # the template writes it, llama.cpp takes one away


def test_qwen_3_with_siglip(tmp_path):
    """Queries and keys in transformers' own order with norms, no output matrix, no class token."""
    kinds = {"text_kind": Qwen3Config, "tower_kind": SiglipVisionConfig}
    model = write_model(tmp_path / "model", qwen_tokenizer(), width=32, **kinds)
    assert main(["export", str(model), "--to", "gguf", "--out", str(tmp_path / "gguf")]) == 0
    weights = LlavaNextForConditionalGeneration.from_pretrained(model, dtype=torch.float32).state_dict()
    path = tmp_path / "gguf" / "language-model-f16.gguf"
    found, made = fields(path), tensors(path)
    assert found["general.architecture"] == "qwen3" and found["qwen3.attention.key_length"] == 32
    assert found["qwen3.rope.freq_base"] == 1e6 and found["tokenizer.ggml.pre"] == "qwen2"
    assert "output.weight" not in made and len(made) == 2 + 3 * 11
    for theirs, name in (
        ("q_proj", "attn_q"),
        ("k_proj", "attn_k"),
        ("q_norm", "attn_q_norm"),
        ("k_norm", "attn_k_norm"),
    ):
        value = weights[f"model.language_model.layers.2.self_attn.{theirs}.weight"]
        np.testing.assert_allclose(made[f"blk.2.{name}.weight"], value.numpy(), rtol=2**-10, atol=1e-7)
    mmproj = tmp_path / "gguf" / "mmproj-f16.gguf"
    found, made = fields(mmproj), tensors(mmproj)
    assert found["clip.use_gelu"] is True and found["clip.vision.feature_layer"] == [2]
    assert not {"v.class_embd", "v.pre_ln.weight", "v.post_ln.weight"} & {*made}
    tower = "model.vision_tower.embeddings."
    for name, theirs in (
        ("v.position_embd.weight", "position_embedding.weight"),
        ("v.patch_embd.bias", "patch_embedding.bias"),
    ):
        np.testing.assert_allclose(made[name], weights[tower + theirs].numpy(), rtol=2**-10, atol=1e-7)
