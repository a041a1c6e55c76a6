"""A recipe as upstream's command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ndino.formats.recipes import Adapter, Recipe, RecipeError, load_recipe
from ndino.llava_next.arguments import Inputs, lacks_master_weights, upstream_arguments
from ndino.train.resuming.distribution import planned

RECIPES = Path(__file__).parents[2] / "launch" / "recipes"
INPUTS = Inputs("start/llama", Path("/tower"), Path("/rows.json"), Path("/images"), Path("/out"))


def arguments(recipe: Recipe, **options) -> dict[str, str]:
    flat = upstream_arguments(recipe, INPUTS, **{"rows": 10_000, **options})
    return {name.removeprefix("--"): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


@pytest.mark.parametrize("launcher, ranks", [("ddp", 1), ("zero3", 1), ("ddp", 8), ("fsdp", 8)])
def test_bf16_without_a_copy_in_fp32_is_refused(launcher, ranks):
    """A rank alone is started without a launcher, so without DeepSpeed too."""
    recipe = load_recipe(RECIPES / "pt.yaml")
    problem = lacks_master_weights(recipe, planned(launcher, ranks), cpu=False)
    assert "keeps no fp32 weights" in problem and "remedy: DISTRIBUTED=zero2 or zero3" in problem
    full = dataclasses.replace(recipe, precision="fp32")
    assert lacks_master_weights(full, planned(launcher, ranks), cpu=False) is None
    assert lacks_master_weights(recipe, planned(launcher, ranks), cpu=True) is None, "trains in fp32"
    for zero in ("zero2", "zero3"):
        assert lacks_master_weights(recipe, planned(zero, 8), cpu=False) is None


def test_the_paper_s_pretraining_is_its_released_script():
    """Values of train_from_llm.sh, eight GPUs."""
    found = arguments(load_recipe(RECIPES / "pt.yaml"), ranks=8)
    released = {
        "version": "plain",
        "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model",
        "mm_vision_tower_lr": "2e-06",
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": "-2",
        "mm_use_im_start_end": "False",
        "mm_use_im_patch_token": "False",
        "image_aspect_ratio": "anyres",
        "image_grid_pinpoints": "[(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)]",
        "mm_patch_merge_type": "spatial_unpad",
        "bf16": "True",
        "num_train_epochs": "1.0",
        "per_device_train_batch_size": "2",
        "gradient_accumulation_steps": "8",
        "save_steps": "500",
        "save_total_limit": "1",
        "learning_rate": "1e-05",
        "weight_decay": "0.0",
        "warmup_ratio": "0.03",
        "lr_scheduler_type": "cosine",
        "tf32": "True",
        "model_max_length": "8192",
        "gradient_checkpointing": "True",
        "dataloader_drop_last": "True",
    }
    assert {name: found[name] for name in released} == released
    # The script's group_by_modality_length is left out: it learns worse (docs/training.md).
    assert not [name for name in found if name.startswith("group_by")]


def test_pinpoints_change_their_order():
    recipe = dataclasses.replace(load_recipe(RECIPES / "it.yaml"), grid_pinpoints=((1, 2), (3, 4)))
    assert arguments(recipe)["image_grid_pinpoints"] == "[(2, 1), (4, 3)]"


def test_prompt_options_are_passed_on():
    recipe = dataclasses.replace(
        load_recipe(RECIPES / "it.yaml"), supervision="answer", plain_ending="newline"
    )
    found = arguments(recipe)
    assert found["version"] == "llava_llama_3"
    assert (found["supervision"], found["plain_ending"]) == ("answer", "newline")


def test_the_projector_stage_trains_the_projector_at_its_own_rate():
    found = arguments(load_recipe(RECIPES / "mlp.yaml"))
    assert found["mm_tunable_parts"] == "mm_mlp_adapter"
    assert "mm_vision_tower_lr" not in found and "mm_projector_lr" not in found


def test_a_cpu_trains_in_fp32_without_flash_attention():
    found = arguments(load_recipe(RECIPES / "it.yaml"), cpu=True)
    assert (found["use_cpu"], found["bf16"], found["attn_implementation"]) == ("True", "False", "sdpa")
    assert "tf32" not in found


def test_a_batch_that_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match="effective batch of 128 cannot be split over 3 rank"):
        arguments(load_recipe(RECIPES / "it.yaml"), ranks=3)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"adapter": Adapter(kind="lora")}, "adapter"),
        ({"optimizer": "adamw_8bit"}, "optimizer: adamw_8bit"),
        ({"packing": True}, "packing"),
        ({"prompt": "chat"}, "prompt: chat"),
    ],
)
def test_what_only_the_native_engine_can_do_is_refused(changes, field):
    recipe = dataclasses.replace(load_recipe(RECIPES / "it.yaml"), **changes)
    with pytest.raises(RecipeError, match=f"{field} is for the native engine"):
        arguments(recipe)


def test_a_list_of_parts_becomes_upstream_s():
    recipe = dataclasses.replace(load_recipe(RECIPES / "it.yaml"), trainable=("projector", "language_model"))
    assert arguments(recipe)["mm_tunable_parts"] == "mm_mlp_adapter,mm_language_model"
