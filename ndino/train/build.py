"""Builds a LLaVA-NeXT model from a language model and a vision tower, loads and saves it.

Backbones are data. The language model is any causal language model that transformers knows, the tower a CLIP,
a SigLIP or a SigLIP 2 of fixed resolution. What the rest of a model follows from is in
`ndino.formats.backbones`: tiles and their features, how images are normalised, the parts of a language model.
Tokens that a tokenizer lacks are added by `ndino.formats.model_folder`. The upstream engine takes a LLaMA and
a CLIP alone.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.initialization import no_init_weights
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.modeling_llava_next import LlavaNextMultiModalProjector

from ndino.common.errors import reason_of, remedy_for, with_remedy
from ndino.common.files import atomic_folder
from ndino.common.transformers_types import token_id
from ndino.formats import model_folder
from ndino.formats.backbones.headers import misfit
from ndino.formats.backbones.language import (
    logits_of,
    parts_of,
    probe_ids,
    require_generation,
    require_same_logits,
)
from ndino.formats.backbones.tower import VisionTower, grid_of
from ndino.formats.chat.prompt import chat_prompt
from ndino.formats.damage import damaged_file
from ndino.formats.finite import non_finite_in_model, not_finite
from ndino.formats.model_kinds import ModelFolderError, require_model_folder
from ndino.formats.prompts import IMAGE_TOKEN, MARKERS, PromptError, PromptFormat
from ndino.formats.recipes import Recipe
from ndino.train.start import check_language_model, check_model, check_tower

logger = logging.getLogger(__name__)


def load_tokenizer(folder: Path, prompt: PromptFormat | None = None) -> PreTrainedTokenizerFast:
    """A model folder's tokenizer, with ``<image>`` and a pad token, which adds no token by itself.

    Args:
        prompt: the recipe's prompt format, whose tokens it must have.

    Raises:
        ModelFolderError: the folder or a file is missing, or ``prompt`` needs tokens that it does not have.
    """
    require_model_folder(
        folder,
        files=("config.json", "tokenizer.json"),
        remedy="a language model folder holds config.json, the weights and tokenizer.json",
    )
    tokenizer = _read(AutoTokenizer.from_pretrained, folder)
    if prompt == "llama3":
        vocabulary = tokenizer.get_vocab()
        if missing := [marker for marker in MARKERS if marker not in vocabulary]:
            raise ModelFolderError(
                f"{folder}: its tokenizer has no token {missing[0]}, which prompt: llama3 needs "
                "(remedy: set another prompt in the recipe, or start from a LLaMA 3)"
            )
    return _read(lambda _: model_folder.prepare_tokenizer(tokenizer), folder)


def build_processor(
    tokenizer: PreTrainedTokenizerFast, tower: VisionTower, recipe: Recipe
) -> LlavaNextProcessor:
    """The processor for a tower, with the recipe's grid for its tiles and its chat template.

    Raises:
        ModelFolderError: with ``prompt: chat``, rows cannot be encoded by the tokenizer's template.
    """
    if recipe.prompt == "chat":
        try:
            chat_prompt(tokenizer, system=recipe.system, thinking=recipe.thinking)
        except PromptError as error:
            message = f"{tokenizer.name_or_path}: {error}"
            raise ModelFolderError(with_remedy(message, "correct its chat_template.jinja")) from error
    image_processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": tower.side},
        crop_size={"height": tower.side, "width": tower.side},
        image_grid_pinpoints=_grid(tower, recipe),
        **tower.normalisation,
    )
    return model_folder.build_processor(
        tokenizer, image_processor, patch_size=tower.patch, class_token=tower.class_token
    )


def _grid(tower: VisionTower, recipe: Recipe) -> list[list[int]]:
    grid = grid_of(recipe.grid_pinpoints, tower.side)
    assert grid is not None  # `check_fit`
    return [list(pinpoint) for pinpoint in grid]


def _read(reader: Callable[..., Any], folder: Path, **options: Any) -> Any:
    """What one of transformers' readers makes of a folder.

    Raises:
        ModelFolderError: it fails, on a setting of a wrong type for instance.
    """
    try:
        return reader(folder, **options)
    except Exception as error:  # every reader has errors of its own, and few name the file
        remedy = remedy_for(error, "copy the model again")
        raise ModelFolderError(
            f"{damaged_file(folder) or folder}: cannot be loaded: {reason_of(error)} (remedy: {remedy})"
        ) from error


def _require_weights(kind: Any, folder: Path, config: Any = None) -> None:
    # Once the ranks are joined, the first start has checked them; ZeRO-3 and FSDP build models otherwise.
    if not torch.distributed.is_initialized() and (problem := misfit(kind, folder, config)):
        raise ModelFolderError(f"{folder}: {problem} (remedy: copy the model again)")


def _load(kind: Any, folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    model, loading = _read(
        kind.from_pretrained,
        folder,
        dtype=dtype,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **options,
    )
    if missing := model_folder.missing_weights(loading):
        raise ModelFolderError(f"{folder}: {missing} (remedy: copy the model again)")
    if ruined := non_finite_in_model(model, folder):
        message = not_finite(ruined)
        raise ModelFolderError(message)
    return model


def build_model(
    language_model: Path, vision_tower: Path, recipe: Recipe, *, dtype: torch.dtype = torch.float32
) -> tuple[LlavaNextForConditionalGeneration, LlavaNextProcessor]:
    """Join two backbones by a new projector and ``image_newline``, drawn from ``recipe.seed``.

    The vocabulary grows by ``<image>`` and the pad token, up to a multiple of 64, where it has no rows left
    for them. New rows of the embeddings are the mean of the old rows.

    Raises:
        ModelFolderError: a folder is missing, incomplete or another kind of model, the recipe does not fit
            the tower, or LLaVA-NeXT cannot hold the language model.
    """
    check_language_model(language_model)
    vision = check_tower(vision_tower, recipe)
    tokenizer = load_tokenizer(language_model, recipe.prompt)
    _require_weights(AutoModelForCausalLM, language_model)
    _require_weights(vision.kind, vision_tower, copy.deepcopy(vision.config))
    language = _load(AutoModelForCausalLM, language_model, dtype)
    tower = _load(vision.kind, vision_tower, dtype, config=copy.deepcopy(vision.config))
    ids = probe_ids(language)
    before = logits_of(language, ids, language_model)
    size = model_folder.padded_vocabulary(max(len(tokenizer), language.config.vocab_size))
    if size != language.config.vocab_size:
        _grow_vocabulary(language, size, language.config.vocab_size)
    parts = parts_of(language, language_model)
    language.config.pad_token_id = tokenizer.pad_token_id
    config = LlavaNextConfig(
        text_config=language.config,
        vision_config=vision.config,
        image_token_index=token_id(tokenizer, IMAGE_TOKEN),
        image_grid_pinpoints=_grid(vision, recipe),
        vision_feature_layer=recipe.vision_feature_layer,
        vision_feature_select_strategy=vision.select_strategy,
        tie_word_embeddings=language.config.tie_word_embeddings,
    )
    with no_init_weights():
        model = LlavaNextForConditionalGeneration._from_config(config, dtype=dtype)
    # Assign tensors, not modules: a loaded module remembers the weight names of its file, and would save this
    # model's weights under those.
    model.model.language_model.load_state_dict(parts.decoder.state_dict(), assign=True)
    model.lm_head.load_state_dict(parts.head.state_dict(), assign=True)
    model.model.vision_tower.load_state_dict(tower.state_dict(), assign=True)
    if config.tie_word_embeddings:
        model.tie_weights()
    require_same_logits(before, logits_of(model, ids, language_model), language_model)
    require_generation(model, ids, language_model)
    # Seeded here, so that the draw does not depend on what was drawn before. Upstream draws the projector
    # unseeded: two equal runs of it differ.
    torch.manual_seed(recipe.seed)
    projector = LlavaNextMultiModalProjector(config).to(dtype)
    model.model.multi_modal_projector.load_state_dict(projector.state_dict(), assign=True)
    hidden = config.get_text_config().hidden_size
    model.model.image_newline = torch.nn.Parameter((torch.randn(hidden) / math.sqrt(hidden)).to(dtype))
    return model, build_processor(tokenizer, vision, recipe)


def load_model(
    folder: Path, recipe: Recipe, *, dtype: torch.dtype = torch.float32
) -> tuple[LlavaNextForConditionalGeneration, LlavaNextProcessor]:
    """Load a model that an earlier stage saved, with its processor for this recipe.

    Raises:
        ModelFolderError: the folder is missing, incomplete or another kind of model, or the recipe's grid or
            layer does not fit its tower.
    """
    tower = check_model(folder, recipe)
    _require_weights(LlavaNextForConditionalGeneration, folder)
    model = _load(LlavaNextForConditionalGeneration, folder, dtype)
    tokenizer = load_tokenizer(folder, recipe.prompt)
    if len(tokenizer) > (rows := model.get_input_embeddings().weight.shape[0]):
        _grow_vocabulary(model, model_folder.padded_vocabulary(len(tokenizer)), rows)
    _follow_recipe(model, folder, tower, recipe)
    if (image := token_id(tokenizer, IMAGE_TOKEN)) != model.config.image_token_index:
        raise ModelFolderError(
            f"{folder}: {IMAGE_TOKEN} is token {image} of its tokenizer, but image_token_index is "
            f"{model.config.image_token_index} in config.json (remedy: copy the model again)"
        )
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return model, build_processor(tokenizer, tower, recipe)


def _follow_recipe(
    model: LlavaNextForConditionalGeneration, folder: Path, tower: VisionTower, recipe: Recipe
) -> None:
    """Write the recipe's grid and layer into the model's configuration, as the upstream engine does."""
    # A model remembers both. Its own would tile images differently from the processor, which is the recipe's.
    wanted = {
        "image_grid_pinpoints": _grid(tower, recipe),
        "vision_feature_layer": recipe.vision_feature_layer,
    }
    for name, value in wanted.items():
        held = getattr(model.config, name)
        if [*map(list, held)] != value if isinstance(held, list | tuple) else held != value:
            logger.warning("%s: %s is %s; the recipe's replaces it: %s", folder, name, held, value)
            setattr(model.config, name, value)


def save_model(
    model: LlavaNextForConditionalGeneration,
    processor: LlavaNextProcessor,
    folder: Path,
    *,
    prompt: PromptFormat,
    weights: dict[str, torch.Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Save model, processor and generation settings to ``folder``, atomically.

    Args:
        prompt: the recipe's prompt format. Its end marker becomes the tokenizer's end-of-sequence token, at
            which evaluation harnesses stop.
        weights: the model's state dict, where the model itself holds only this rank's shard.
        dtype: of the saved weights; without it, the one that they have.
    """
    model.generation_config = model_folder.set_end_of_answer(processor.tokenizer, prompt)
    weights = model.state_dict() if weights is None else weights
    if dtype is not None:
        weights = _cast(weights, dtype)
    weights = {model_folder.saved_name(name): value for name, value in weights.items()}
    # save_pretrained notes the model's dtype, which need not be that of the weights, and empties the dict.
    found = {value.dtype for value in weights.values() if value.is_floating_point()}
    saved_as = str(found.pop()).removeprefix("torch.") if len(found) == 1 else None
    # The trainer switches the cache off, and whoever loads the model to generate wants it.
    model.config.use_cache = model.config.get_text_config().use_cache = True
    with atomic_folder(folder) as made:
        model.save_pretrained(made, state_dict=weights, save_original_format=False)
        processor.save_pretrained(made)
        model_folder.make_portable(made, dtype=saved_as)


def _cast(weights: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    # Tied weights stay one tensor: save_pretrained writes these once.
    made: dict[tuple, torch.Tensor] = {}
    for value in weights.values():
        key = (value.data_ptr(), value.shape)
        if key not in made:
            made[key] = value.to(dtype) if value.is_floating_point() else value
    return {name: made[value.data_ptr(), value.shape] for name, value in weights.items()}


def _grow_vocabulary(model: PreTrainedModel, size: int, old_size: int) -> None:
    # Not transformers' mean_resizing: it samples around the mean, so results would depend on the random
    # state.
    model.resize_token_embeddings(size, mean_resizing=False)
    head = model.get_output_embeddings()
    assert head is not None  # a causal language model has one
    for embedding in {model.get_input_embeddings().weight, head.weight}:
        with torch.no_grad():
            embedding[old_size:] = embedding[:old_size].mean(dim=0)
