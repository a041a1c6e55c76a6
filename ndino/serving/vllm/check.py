"""What vLLM needs of a model folder: what can be mended, and what cannot.

vLLM builds a LLaVA-NeXT of its own from config.json, takes weights by their names, and leaves images and
prompts to the folder's processor and chat template. Where something is wrong it stops, or answers otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ndino.common.errors import reason_of, shown
from ndino.formats.context import context_of
from ndino.formats.model_folder import make_rope_portable, make_tokenizer_portable, saved_name
from ndino.formats.model_kinds import read_json_object
from ndino.formats.prompts import END_OF_TURN, IMAGE_TOKEN, LLAMA3_CHAT_TEMPLATE, START_HEADER
from ndino.serving.errors import ExportError
from ndino.serving.folders import safetensors_files
from ndino.serving.gguf.template import chat_template, render
from ndino.serving.vllm.renamed import tensors_in

ARCHITECTURE = "LlavaNextForConditionalGeneration"
TOWERS = ("clip_vision_model", "siglip_vision_model")
CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
_TOWER, _NESTED = "vision_tower.", "vision_tower.vision_model."
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_AGAIN = "copy the model again"


@dataclass
class VllmNeeds:
    """What a folder lacks for vLLM.

    Attributes:
        mended: a line for each thing that is mended.
        files: the new content of files, by name.
        renamed: files of weights whose tensors get other names (`weight_name`).
        notes: what to know before it is served.
        dtype: of the weights, as in PyTorch.
        context: tokens that the model takes.
    """

    mended: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    renamed: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dtype: str = ""
    context: int = 0

    def mend_json(self, name: str, content: Mapping[str, Any], what: str) -> None:
        """Note that the file ``name`` gets this content, and why."""
        self.files[name] = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        self.mended.append(f"{name}: {what}")


def check_folder(folder: Path, config: dict[str, Any]) -> VllmNeeds:
    """Look through a LLaVA-NeXT in Hugging Face format.

    Args:
        config: its config.json.

    Raises:
        ExportError: vLLM cannot take it, and nothing here can mend that.
        ModelFolderError: a file is broken.
    """
    found = VllmNeeds()
    found.context = context_of(config)
    _check_weights(folder, config, found)
    _check_config(config, found)
    tokenizer = _tokenizer(folder)
    _check_vocabulary(folder, config, tokenizer)
    _check_tokenizer_settings(folder, found)
    _check_processor(folder, config, found)
    _check_template(folder, tokenizer, found)
    return found


def weight_name(name: str) -> str:
    """The name by which vLLM takes a tensor.

    transformers 5.23 saves the tower's without ``vision_model.``, which vLLM 0.32 does not find.
    """
    name = saved_name(name)
    if name.startswith(_TOWER) and not name.startswith(_NESTED):
        return _NESTED + name.removeprefix(_TOWER)
    return name


def _check_weights(folder: Path, config: Mapping[str, Any], found: VllmNeeds) -> None:
    dtypes: set[str] = set()
    for path in safetensors_files(folder):
        tensors = tensors_in(path)
        dtypes |= {str(entry.get("dtype")) for entry in tensors.values()}
        if any(weight_name(name) != name for name in tensors):
            found.renamed.append(path)
    stated = str(config.get("dtype") or config.get("torch_dtype"))
    held = sorted(_DTYPES.get(dtype, dtype) for dtype in dtypes)
    if not {*held} <= {*_DTYPES.values()} or (len(held) > 1 and stated not in held):
        raise ExportError(
            f"{folder}: holds weights in {', '.join(held)} (remedy: save the model in one of "
            f"{', '.join(_DTYPES.values())})"
        )
    found.dtype = stated if stated in held else held[0]
    if found.renamed:
        found.mended.append("weights: names that vLLM does not know")
        for path in folder.glob("*.safetensors.index.json"):
            index = read_json_object(path)
            places = index["weight_map"].items()
            index["weight_map"] = {weight_name(name): place for name, place in places}
            found.files[path.name] = json.dumps(index, indent=2) + "\n"


def _check_config(config: dict[str, Any], found: VllmNeeds) -> None:
    text, tower = (config.get(name) or {} for name in ("text_config", "vision_config"))
    if tower.get("model_type") not in TOWERS:
        raise ExportError(
            f"config.json: vision_config is of the kind {shown(tower.get('model_type'))}, and vLLM's "
            f"LLaVA-NeXT takes {' or '.join(TOWERS)} (remedy: serve this model with transformers serve)"
        )
    reasons = []
    config, text = dict(config), dict(text)
    if config.get("architectures") != [ARCHITECTURE]:
        reasons.append(f"architectures {shown(config.get('architectures'))}")
        config["architectures"] = [ARCHITECTURE]
    if (config.get("dtype") or config.get("torch_dtype")) != found.dtype:
        reasons.append(f"dtype {shown(config.get('dtype'))}, of weights in {found.dtype}")
        config["dtype"] = found.dtype
    if "rope_theta" in (text.get("rope_parameters") or {}):
        reasons.append("rope_parameters, from which transformers 4 takes no rope_theta")
        make_rope_portable(text)
    config["text_config"] = text
    if reasons:
        found.mend_json("config.json", config, "; ".join(reasons))
    heads = text.get("num_attention_heads") or 1
    size = text.get("head_dim") or text.get("hidden_size", 0) // heads
    if size not in CPU_HEAD_SIZES:
        found.notes.append(f"on a CPU vLLM takes no heads of {size} values, as this model has")
    if found.dtype == "float32":
        found.notes.append(
            "weights are float32, which vLLM computes in 16 bits unless it is told --dtype float32"
        )


def _tokenizer(folder: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library's own, of no kind
        raise ExportError(
            f"{folder / 'tokenizer.json'}: cannot be read: {reason_of(error)} (remedy: {_AGAIN})"
        ) from error


def _check_vocabulary(folder: Path, config: Mapping[str, Any], tokenizer: Tokenizer) -> None:
    stated = config.get("image_token_index", config.get("image_token_id"))
    if tokenizer.token_to_id(IMAGE_TOKEN) != stated:
        raise ExportError(
            f"{folder}: {IMAGE_TOKEN} is token {tokenizer.token_to_id(IMAGE_TOKEN)} in tokenizer.json and "
            f"{shown(stated)} in config.json (remedy: {_AGAIN}, or save tokenizer and model together)"
        )
    rows = config["text_config"].get("vocab_size")
    if isinstance(rows, int) and tokenizer.get_vocab_size() > rows:
        raise ExportError(
            f"{folder}: tokenizer.json has {tokenizer.get_vocab_size()} tokens, and the model has {rows} "
            f"rows (remedy: {_AGAIN}, or save tokenizer and model together)"
        )


def _check_tokenizer_settings(folder: Path, found: VllmNeeds) -> None:
    path = folder / "tokenizer_config.json"
    settings = read_json_object(path) if path.is_file() else {}
    wanted = dict(settings)
    make_tokenizer_portable(wanted)
    if wanted != settings:
        found.mend_json(path.name, wanted, "names that transformers 4 does not know")


def _check_processor(folder: Path, config: Mapping[str, Any], found: VllmNeeds) -> None:
    path = folder / "processor_config.json"
    settings = read_json_object(path) if path.is_file() else {}
    images = settings.get("image_processor")
    if not isinstance(images, dict):
        other = folder / "preprocessor_config.json"
        images = read_json_object(other) if other.is_file() else {}
    if "image_mean" not in images:
        raise ExportError(
            f"{folder}: has no image_mean in processor_config.json or preprocessor_config.json "
            f"(remedy: {_AGAIN})"
        )
    grids = config.get("image_grid_pinpoints")
    if images.get("image_grid_pinpoints") != grids:
        raise ExportError(
            f"{folder}: image_grid_pinpoints is {shown(grids)} in config.json and "
            f"{shown(images.get('image_grid_pinpoints'))} in the processor (remedy: write into both the grid "
            "that the model was trained with)"
        )
    strategy = config.get("vision_feature_select_strategy", "default")
    tower = config["vision_config"]
    wanted = {
        "processor_class": "LlavaNextProcessor",
        "image_token": IMAGE_TOKEN,
        "patch_size": tower.get("patch_size"),
        "vision_feature_select_strategy": strategy,
        # CLIP's class token, which "default" drops again.
        "num_additional_image_tokens": int(tower["model_type"] == "clip_vision_model"),
    }
    if other := [name for name, value in wanted.items() if settings.get(name) != value]:
        found.mend_json(path.name, {**settings, **wanted}, ", ".join(other))


def _check_template(folder: Path, tokenizer: Tokenizer, found: VllmNeeds) -> None:
    try:
        template = chat_template(folder)
    except ExportError:
        if None in map(tokenizer.token_to_id, (START_HEADER, END_OF_TURN)):
            raise
        template = LLAMA3_CHAT_TEMPLATE
        found.files["chat_template.jinja"] = template
        found.mended.append("chat_template.jinja: there was no chat template, and this is LLaMA 3's")
    asked = "Che cosa si vede?"
    parts = [{"type": "image"}, {"type": "text", "text": asked}]
    special = {"bos_token": "", "eos_token": "", "pad_token": ""}
    # vLLM hands over whichever of the two forms the template reads.
    texts = []
    for content in (parts, f"{IMAGE_TOKEN}\n{asked}"):
        messages = [{"role": "user", "content": content}]
        texts.append(render(template, messages, special, answering=True))
    if not any(text.count(IMAGE_TOKEN) == 1 and asked in text for text in texts):
        raise ExportError(
            f"{folder}: the chat template leaves out the question or its image (remedy: correct "
            "chat_template.jinja)"
        )
