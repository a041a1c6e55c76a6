"""The ``mmproj`` file: vision tower, projector, newline, and how images are cut and normalised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from gguf import GGUFWriter, LlamaFileType

from ndino.common.errors import shown
from ndino.serving.errors import ExportError
from ndino.serving.gguf.container import F16, F32, Entry
from ndino.serving.gguf.weights import Weights

TOWER = "vision_tower."
_POSITIONS = f"{TOWER}embeddings.position_embedding.weight"
# By model_type; CLIP's has a class token, which the "default" strategy drops.
_TOWERS = {
    "clip_vision_model": {
        f"{TOWER}embeddings.class_embedding": "v.class_embd",
        f"{TOWER}pre_layrnorm.weight": "v.pre_ln.weight",
        f"{TOWER}pre_layrnorm.bias": "v.pre_ln.bias",
    },
    "siglip_vision_model": {f"{TOWER}embeddings.patch_embedding.bias": "v.patch_embd.bias"},
}
_STRATEGIES = {"clip_vision_model": "default", "siglip_vision_model": "full"}
_WHOLE = {
    f"{TOWER}embeddings.patch_embedding.weight": "v.patch_embd.weight",
    _POSITIONS: "v.position_embd.weight",
    "multi_modal_projector.linear_1.weight": "mm.0.weight",
    "multi_modal_projector.linear_1.bias": "mm.0.bias",
    "multi_modal_projector.linear_2.weight": "mm.2.weight",
    "multi_modal_projector.linear_2.bias": "mm.2.bias",
    "image_newline": "v.image_newline",
}
_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
# Of transformers' hidden_act: clip.cpp's flag for it. Its GELU is the tanh approximation.
_ACTIVATIONS = {"quick_gelu": False, "gelu": True, "gelu_pytorch_tanh": True}


def vision_writer(config: Any, image_processor: Mapping[str, Any], name: str) -> GGUFWriter:
    """A writer that holds the fields of the tower, of the projector and of image processing.

    Args:
        config: the model's configuration.
        image_processor: the settings of its image processor.

    Raises:
        ExportError: llama.cpp's LLaVA cannot run it, or would process images otherwise.
    """
    tower = config.vision_config
    _check(config, image_processor)
    writer = GGUFWriter(path=None, arch="clip")
    writer.add_type("mmproj")
    writer.add_name(name)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("mlp")
    writer.add_vision_use_gelu(_ACTIVATIONS[tower.hidden_act])
    writer.add_vision_image_size(tower.image_size)
    writer.add_vision_patch_size(tower.patch_size)
    writer.add_vision_embedding_length(tower.hidden_size)
    writer.add_vision_feed_forward_length(tower.intermediate_size)
    writer.add_vision_block_count(feature_layer(config))
    writer.add_vision_head_count(tower.num_attention_heads)
    writer.add_vision_attention_layernorm_eps(tower.layer_norm_eps)
    writer.add_vision_projection_dim(config.text_config.hidden_size)
    writer.add_array("clip.vision.feature_layer", [feature_layer(config)])
    writer.add_vision_image_mean([float(value) for value in image_processor["image_mean"]])
    writer.add_vision_image_std([float(value) for value in image_processor["image_std"]])
    # transformers says height and width, llama.cpp width and height.
    sides = [side for height, width in config.image_grid_pinpoints for side in (width, height)]
    writer.add_array("clip.vision.image_grid_pinpoints", sides)
    # For runtimes with llama.cpp's older code, which reads these as well.
    writer.add_string("clip.vision.image_aspect_ratio", "anyres")
    writer.add_uint32("clip.vision.image_crop_resolution", tower.image_size)
    writer.add_string("clip.vision.mm_patch_merge_type", "spatial_unpad")
    return writer


def vision_entries(config: Any, weights: Weights) -> list[Entry]:
    """The tensors of tower, projector and newline; layers that are not used are left out.

    Raises:
        ExportError: a weight is missing.
    """
    tower = config.vision_config.model_type
    names = _WHOLE | _TOWERS[tower]
    for layer in range(feature_layer(config)):
        for part, gguf_part in _LAYER.items():
            for kind in ("weight", "bias"):
                names[f"{TOWER}encoder.layers.{layer}.{part}.{kind}"] = f"v.blk.{layer}.{gguf_part}.{kind}"
    entries = []
    for source, name in names.items():
        shape = weights.shape(source)
        # Positions are looked up, not multiplied with: in full, as llama.cpp's own converter keeps them.
        full = len(shape) == 1 or source == _POSITIONS
        moved = source == _POSITIONS and tower == "clip_vision_model"
        read = _positions(weights) if moved else _reader(weights, source)
        entries.append(Entry(name, source, shape, F32 if full else F16, read))
    return entries


def feature_layer(config: Any) -> int:
    """How many layers of the tower are run for the features: 23 of 24 at ``vision_feature_layer`` -2."""
    layer = config.vision_feature_layer
    count = config.vision_config.num_hidden_layers
    return layer if layer >= 0 else count + 1 + layer


def _reader(weights: Weights, source: str) -> Callable[[], torch.Tensor]:
    return lambda: weights.read(source)


def _positions(weights: Weights) -> Callable[[], torch.Tensor]:
    # CLIP has the class token in front of the patches, llama.cpp behind them since May 2025, and it numbers
    # positions from the first patch (ggml-org/llama.cpp#25814). With the rows in this order each token gets
    # the position of its training. tests/serving/test_llama_cpp.py fails when llama.cpp changes that.
    return lambda: weights.read(_POSITIONS).roll(-1, 0)


def _check(config: Any, image_processor: Mapping[str, Any]) -> None:
    tower = config.vision_config
    layer = config.vision_feature_layer
    size, crop = image_processor.get("size"), image_processor.get("crop_size")
    expected = [
        ("config.json", "vision_config.model_type", tower.model_type, tuple(_TOWERS)),
        ("config.json", "vision_config.hidden_act", tower.hidden_act, tuple(_ACTIVATIONS)),
        ("config.json", "projector_hidden_act", config.projector_hidden_act, ("gelu",)),
        ("config.json", "multimodal_projector_bias", config.multimodal_projector_bias, (True,)),
        (
            "config.json",
            "vision_feature_select_strategy",
            config.vision_feature_select_strategy,
            (_STRATEGIES.get(tower.model_type, "default"),),
        ),
        ("the image processor", "do_normalize", image_processor.get("do_normalize", True), (True,)),
        ("the image processor", "resample", image_processor.get("resample", 3), (3,)),
        (
            "the image processor",
            "rescale_factor",
            round(image_processor.get("rescale_factor", 1 / 255), 6),
            (round(1 / 255, 6),),
        ),
    ]
    for place, field, value, known in expected:
        if value not in known:
            raise ExportError(
                f"{place}: llama.cpp's LLaVA has no {field} {shown(value)} (remedy: export a model with "
                f"{' or '.join(map(str, known))})"
            )
    if not isinstance(layer, int) or not 0 < feature_layer(config) <= tower.num_hidden_layers:
        raise ExportError(
            f"config.json: vision_feature_layer {shown(layer)} is no single layer of the tower's "
            f"{tower.num_hidden_layers} (remedy: export a model with -2)"
        )
    for field, given in (("size", size), ("crop_size", crop)):
        sides = {*given.values()} if isinstance(given, Mapping) else {given}
        if sides - {tower.image_size, None}:
            raise ExportError(
                f"the image processor: {field} is {shown(given)}, but the tower's image_size is "
                f"{tower.image_size} (remedy: give both the same size)"
            )
