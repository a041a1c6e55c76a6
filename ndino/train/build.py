"""A LLaVA-NeXT model from a LLaMA folder and a CLIP folder; written so that other versions can read it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    PreTrainedTokenizerFast,
)
from transformers.initialization import no_init_weights
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.modeling_llava_next import LlavaNextMultiModalProjector

from ndino.common.errors import reason_of, remedy_for
from ndino.common.files import whole_folder
from ndino.formats import model_folder
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.formats.recipes import Recipe


class ModelFolderError(ValueError):
    """A model folder that cannot be used; the message names the folder and the remedy."""


def require_model_folder(folder: Path, *, files: tuple[str, ...], remedy: str) -> None:
    """Check that ``folder`` holds ``files``, and that settings among them are JSON.

    Raises:
        ModelFolderError: the folder or a file is missing, broken, or may not be read.
    """
    try:
        if not folder.is_dir():
            raise ModelFolderError(f"{folder}: no such model folder ({remedy})")
        for name in files:
            path = folder / name
            if not path.is_file():
                # A run's folder in place of the model in it.
                inner = folder / "model"
                hint = f"did you mean {inner}?" if (inner / name).is_file() else remedy
                raise ModelFolderError(f"{folder}: has no {name} ({hint})")
            with path.open("rb") as file:
                if path.suffix == ".json":
                    json.load(file)
    except ValueError as error:
        if isinstance(error, ModelFolderError):
            raise
        raise ModelFolderError(f"{path}: broken JSON: {reason_of(error)} (copy the model again)") from error
    except OSError as error:
        remedy = remedy_for(error, "copy the model again")
        raise ModelFolderError(f"{reason_of(error)} ({remedy})") from error


def load_tokenizer(language_model: Path) -> PreTrainedTokenizerFast:
    """The folder's LLaMA 3 tokenizer with ``<image>`` and a pad token, adding no BOS by itself."""
    require_model_folder(
        language_model,
        files=("config.json", "tokenizer.json"),
        remedy="a language model folder holds config.json, the weights and a LLaMA 3 tokenizer.json",
    )
    return model_folder.prepare_tokenizer(AutoTokenizer.from_pretrained(language_model))


def build_processor(
    tokenizer: PreTrainedTokenizerFast, vision: CLIPVisionConfig, recipe: Recipe
) -> LlavaNextProcessor:
    """The processor that goes with a tower of ``vision``'s image and patch size, in pixels."""
    side = vision.image_size
    image_processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_grid_pinpoints=[list(pinpoint) for pinpoint in recipe.grid_pinpoints],
    )
    return model_folder.build_processor(tokenizer, image_processor, patch_size=vision.patch_size)


def _load(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    model, loading = kind.from_pretrained(
        folder, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
    )
    if missing := model_folder.missing_weights(loading):
        raise ModelFolderError(f"{folder}: {missing} (copy the model again)")
    return model


def build_model(
    language_model: Path, vision_tower: Path, recipe: Recipe, *, dtype: torch.dtype = torch.float32
) -> tuple[LlavaNextForConditionalGeneration, LlavaNextProcessor]:
    """Join a LLaMA and a CLIP tower by a new projector and ``image_newline``, drawn under ``recipe.seed``.

    The vocabulary grows by ``<image>`` and the pad token, to a multiple of 64; new rows are the mean of the
    old.

    Raises:
        ModelFolderError: a folder is missing, incomplete, or of another kind of model.
    """
    require_model_folder(
        vision_tower,
        files=("config.json",),
        remedy="a vision tower folder holds config.json and the weights of CLIP",
    )
    tokenizer = load_tokenizer(language_model)
    text_type = AutoConfig.from_pretrained(language_model).model_type
    if text_type != "llama":
        raise ModelFolderError(f"{language_model}: is a {text_type} model (start from a LLaMA)")
    vision = CLIPVisionConfig.from_pretrained(vision_tower)
    if any(side % vision.image_size for pinpoint in recipe.grid_pinpoints for side in pinpoint):
        raise ModelFolderError(
            f"{vision_tower}: its image size {vision.image_size} does not divide the grid pinpoints "
            f"{list(recipe.grid_pinpoints)} (set grid_pinpoints in the recipe)"
        )

    language = _load(AutoModelForCausalLM, language_model, dtype)
    size = model_folder.padded_vocabulary(max(len(tokenizer), language.config.vocab_size))
    if size != language.config.vocab_size:
        _grow_vocabulary(language, size)
    language.config.pad_token_id = tokenizer.pad_token_id
    config = LlavaNextConfig(
        text_config=language.config,
        vision_config=vision,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_grid_pinpoints=[list(pinpoint) for pinpoint in recipe.grid_pinpoints],
        vision_feature_layer=recipe.vision_feature_layer,
        vision_feature_select_strategy="default",
        tie_word_embeddings=language.config.tie_word_embeddings,
    )
    with no_init_weights():
        model = LlavaNextForConditionalGeneration._from_config(config, dtype=dtype)
    # Tensors are handed over, not modules: those remember how they were loaded, and misname what they save.
    model.model.language_model.load_state_dict(language.model.state_dict(), assign=True)
    model.lm_head.load_state_dict(language.lm_head.state_dict(), assign=True)
    tower = _load(CLIPVisionModel, vision_tower, dtype)
    model.model.vision_tower.load_state_dict(tower.state_dict(), assign=True)
    if config.tie_word_embeddings:
        model.tie_weights()
    torch.manual_seed(recipe.seed)
    projector = LlavaNextMultiModalProjector(config).to(dtype)
    model.model.multi_modal_projector.load_state_dict(projector.state_dict(), assign=True)
    hidden = config.text_config.hidden_size
    model.model.image_newline = torch.nn.Parameter((torch.randn(hidden) / math.sqrt(hidden)).to(dtype))
    return model, build_processor(tokenizer, vision, recipe)


def load_model(
    folder: Path, recipe: Recipe, *, dtype: torch.dtype = torch.float32
) -> tuple[LlavaNextForConditionalGeneration, LlavaNextProcessor]:
    """A model that an earlier stage wrote, with its processor.

    Raises:
        ModelFolderError: the folder is missing or incomplete.
    """
    require_model_folder(
        folder,
        files=("config.json", "model.safetensors", "tokenizer.json")
        if not (folder / "model.safetensors.index.json").exists()
        else ("config.json", "tokenizer.json"),
        remedy="give a folder that an earlier stage wrote, or --language-model and --vision-tower",
    )
    model = _load(LlavaNextForConditionalGeneration, folder, dtype)
    processor = build_processor(load_tokenizer(folder), model.config.vision_config, recipe)
    return model, processor


def save_model(
    model: LlavaNextForConditionalGeneration,
    processor: LlavaNextProcessor,
    folder: Path,
    *,
    prompt: str,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write model, processor and generation settings; the folder appears whole or not at all.

    ``weights``: the model's state, where the model itself holds only this rank's shard of it.

    The tokenizer's end-of-sequence token becomes the marker that closes the last stage's answers, since
    harnesses stop there. ``prompt`` is the recipe's prompt format.
    """
    model.generation_config = model_folder.set_end_of_answer(processor.tokenizer, prompt)
    weights = model.state_dict() if weights is None else weights
    weights = {model_folder.saved_name(name): value for name, value in weights.items()}
    with whole_folder(folder) as made:
        model.save_pretrained(made, state_dict=weights, save_original_format=False)
        processor.save_pretrained(made)
        model_folder.make_portable(made)


def _grow_vocabulary(language: torch.nn.Module, size: int) -> None:
    # transformers' own mean_resizing draws from a distribution; the plain mean needs no seed.
    old_size = language.config.vocab_size
    language.resize_token_embeddings(size, mean_resizing=False)
    for embedding in {language.get_input_embeddings().weight, language.get_output_embeddings().weight}:
        with torch.no_grad():
            embedding[old_size:] = embedding[:old_size].mean(dim=0)
