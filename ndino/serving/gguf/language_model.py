"""The language model's file: architecture, dimensions, rotary embedding, and the tensors' names."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, GGUFWriter, LlamaFileType, RopeScalingType

from ndino.common.errors import shown
from ndino.serving.errors import ExportError
from ndino.serving.gguf.container import F16, F32, Q8_0, Entry, matrix_type
from ndino.serving.gguf.weights import Weights

PREFIX = "language_model."
_NORMS = ("self_attn.q_norm", "self_attn.k_norm")


@dataclass(frozen=True)
class _Architecture:
    """One of llama.cpp's; its name there is transformers' model_type.

    Attributes:
        pairs: its rotary embedding pairs neighbouring dimensions, as Meta's code does.
        norms: queries and keys have norms of their own.
        own_heads: a head may be of another size than the width divided by their number.
    """

    pairs: bool = False
    norms: bool = False
    own_heads: bool = True


_ARCHITECTURES = {
    "llama": _Architecture(pairs=True),
    "qwen2": _Architecture(own_heads=False),
    "qwen3": _Architecture(norms=True),
}
_FILE_TYPES = {F16: LlamaFileType.MOSTLY_F16, Q8_0: LlamaFileType.MOSTLY_Q8_0}
_WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NAME = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")


def language_model_writer(text: Any, name: str, wanted: GGMLQuantizationType) -> GGUFWriter:
    """A writer that holds the language model's fields, all but the tokenizer's.

    Args:
        text: the model's ``text_config``.
        name: the model's name.
        wanted: the type of its matrices.

    Raises:
        ExportError: llama.cpp cannot run it.
    """
    if not _architecture(text).own_heads and _head_size(text) * text.num_attention_heads != text.hidden_size:
        raise _unsupported("head_dim", _head_size(text), f"{text.hidden_size // text.num_attention_heads}")
    if getattr(text, "use_sliding_window", False):
        raise _unsupported("use_sliding_window", True, "False")
    if text.hidden_act != "silu":
        raise _unsupported("hidden_act", text.hidden_act, "silu")
    writer = GGUFWriter(path=None, arch=text.model_type)
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPES[wanted])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_vocab_size(text.vocab_size)
    writer.add_context_length(text.max_position_embeddings)
    writer.add_embedding_length(text.hidden_size)
    writer.add_feed_forward_length(text.intermediate_size)
    writer.add_block_count(text.num_hidden_layers)
    writer.add_head_count(text.num_attention_heads)
    writer.add_head_count_kv(text.num_key_value_heads)
    writer.add_key_length(_head_size(text))
    writer.add_value_length(_head_size(text))
    writer.add_layer_norm_rms_eps(text.rms_norm_eps)
    writer.add_rope_dimension_count(_head_size(text))
    rope = text.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] not in ("default", "llama3"):
        raise _unsupported("rope_type", rope["rope_type"], "default, linear or llama3")
    return writer


def language_model_entries(text: Any, weights: Weights, wanted: GGMLQuantizationType) -> list[Entry]:
    """The language model's tensors.

    Raises:
        ExportError: a weight is missing, or is none of this architecture's.
    """
    architecture = _architecture(text)
    layer = [part for part in _LAYER if part not in _NORMS or architecture.norms]
    names = {name: _gguf_name(name) for name in weights.below(PREFIX) if not name.endswith("inv_freq")}
    needed = {"model.embed_tokens.weight", "model.norm.weight"}
    needed |= {f"model.layers.{i}.{part}.weight" for i in range(text.num_hidden_layers) for part in layer}
    if not text.tie_word_embeddings:
        needed.add("lm_head.weight")
    # llama.cpp reads the embedding in place of an output matrix that is not there.
    elif "lm_head.weight" in names:
        del names["lm_head.weight"]
    for name in sorted(needed - {*names}):
        weights.shape(PREFIX + name)  # raises, with the folder's name
    if weights.shape(f"{PREFIX}model.embed_tokens.weight") != (text.vocab_size, text.hidden_size):
        raise ExportError(
            f"{weights.folder}: {PREFIX}model.embed_tokens.weight is not of the size that config.json gives "
            "it (remedy: copy the model again)"
        )
    entries = list(_rope_factors(text))
    for name, gguf_name in names.items():
        source = PREFIX + name
        shape = weights.shape(source)
        heads = _rotated_heads(text, name) if architecture.pairs else 0
        entries.append(
            Entry(
                gguf_name,
                source,
                shape,
                F32 if len(shape) == 1 else matrix_type(shape, wanted),
                _reader(weights, source, heads),
            )
        )
    return entries


def _reader(weights: Weights, source: str, heads: int) -> Callable[[], torch.Tensor]:
    def read() -> torch.Tensor:
        tensor = weights.read(source)
        return interleave_halves(tensor, heads) if heads else tensor

    return read


def interleave_halves(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Reorder the rows of a query or key projection for a rotary embedding of neighbouring dimensions.

    transformers rotates dimension i of a head together with i + half; Meta's code, and with it llama.cpp's
    LLaMA, 2i with 2i + 1.
    """
    halves = tensor.unflatten(0, (heads, 2, -1))
    return halves.transpose(1, 2).reshape(tensor.shape)


def _rotated_heads(text: Any, name: str) -> int:
    """How many heads a projection's rows are to be reordered for; 0 for one that is not rotated."""
    if ".q_proj." in name:
        return text.num_attention_heads
    return text.num_key_value_heads if ".k_proj." in name else 0


def _rope_factors(text: Any) -> Iterator[Entry]:
    """LLaMA 3.1's scaling: by what each frequency of the rotary embedding is divided, as a tensor."""
    rope = text.rope_parameters
    if rope["rope_type"] != "llama3":
        return
    size = _head_size(text)
    trained = rope["original_max_position_embeddings"]
    lowest, highest = trained / rope["low_freq_factor"], trained / rope["high_freq_factor"]
    factors = []
    for dimension in range(0, size, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (dimension / size)
        if wavelength < highest:
            factors.append(1.0)
        elif wavelength > lowest:
            factors.append(rope["factor"])
        else:
            between = (trained / wavelength - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"]
            )
            factors.append(1 / ((1 - between) / rope["factor"] + between))
    tensor = torch.tensor(factors)
    yield Entry("rope_freqs.weight", "rope_parameters", tuple(tensor.shape), F32, lambda: tensor)


def _gguf_name(name: str) -> str:
    if name in _WHOLE:
        return _WHOLE[name]
    found = _NAME.fullmatch(name)
    if found is None or found[2] not in _LAYER:
        raise ExportError(
            f"{PREFIX}{name}: is no weight of a dense LLaMA or Qwen (remedy: export a model whose language "
            "model is one)"
        )
    return f"blk.{found[1]}.{_LAYER[found[2]]}.{found[3]}"


def _architecture(text: Any) -> _Architecture:
    kind = text.model_type
    if kind not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise ExportError(
            f"config.json: a language model of the type {shown(kind)} cannot be written as GGUF (remedy: "
            f"export a model whose language model is one of: {known})"
        )
    return _ARCHITECTURES[kind]


def _head_size(text: Any) -> int:
    return getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads


def _unsupported(field: str, value: object, known: str) -> ExportError:
    return ExportError(
        f"config.json: llama.cpp has no {field} {shown(value)} (remedy: export a model whose "
        f"{field} is {known})"
    )
