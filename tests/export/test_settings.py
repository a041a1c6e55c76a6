"""Settings of the converted model: fields that are missing or cannot be converted, grids in any notation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ndino.export.checkpoint import Checkpoint
from ndino.export.errors import ConversionError
from ndino.export.settings import grid_pinpoints
from tests.export.refusals import change_config, refusal

SIDES = st.integers(1, 6)


GRIDS = st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=6)


@pytest.mark.parametrize(
    "field",
    [
        "rope_theta",
        "vocab_size",
        "rms_norm_eps",
        "mm_vision_tower",
        "mm_vision_select_layer",
        "image_grid_pinpoints",
    ],
)
def test_missing_config_field(copied, field):
    change_config(copied, **{field: ...})
    assert f"config.json: the field {field} is missing" in refusal(copied)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mm_projector_type", "linear"),
        ("mm_patch_merge_type", "flat"),
        ("image_aspect_ratio", "anyres_max_9"),
        ("mm_vision_select_feature", "cls_patch"),
        ("mm_resampler_type", "perceiver"),
        ("mm_use_im_start_end", True),
    ],
)
def test_what_hugging_face_does_not_implement(copied, field, value):
    change_config(copied, **{field: value})
    assert f"{field} is {value}" in refusal(copied)


def test_another_kind_of_model(copied):
    change_config(copied, model_type="llava_qwen", architectures=["LlavaQwenForCausalLM"])
    assert "is a llava_qwen model, not a model of the original LLaVA-NeXT code" in refusal(copied)


@pytest.mark.parametrize("value", ["elsewhere", [], [[112]], [[0, 56]], [[112, "56"]], [[100, 56]], 7])
def test_unusable_pinpoints(copied, value):
    change_config(copied, image_grid_pinpoints=value)
    assert "config.json: image_grid_pinpoints" in refusal(copied)


@pytest.mark.parametrize("layer", ["-2", -9, 5])
def test_unusable_layer(copied, layer):
    change_config(copied, mm_vision_select_layer=layer)
    assert f"mm_vision_select_layer is {layer}" in refusal(copied)


def test_another_tokenizer(copied):
    path = copied / "tokenizer.json"
    text = path.read_text()
    path.write_text(text.replace("<|eot_id|>", "<|other|>"))
    assert "tokenizer.json: has no token <|eot_id|>" in refusal(copied)
    path.unlink()
    assert "tokenizer.json: no such file" in refusal(copied)


def pinpoints_of(value, side: int = 14) -> list[tuple[int, int]]:
    return grid_pinpoints(Checkpoint(Path("src"), {"image_grid_pinpoints": value}, {}), side)


@given(grids=GRIDS)
def test_grids_read_the_same_in_every_notation(grids):
    pixels = [(w * 14, h * 14) for w, h in grids]
    lists = [list(pair) for pair in pixels]
    assert pinpoints_of(lists) == pixels
    assert pinpoints_of(str(pixels)) == pinpoints_of(str(lists)) == pinpoints_of(json.dumps(lists)) == pixels


@given(first=st.tuples(SIDES, SIDES), more=st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_a_range_of_tiles(first, more):
    last = (first[0] + more[0], first[1] + more[1])
    found = pinpoints_of(f"({first[0]}x{first[1]}),...,({last[0]}x{last[1]})")
    assert len(found) == len(set(found)) == (more[0] + 1) * (more[1] + 1)
    assert found[0] == (first[0] * 14, first[1] * 14) and found[-1] == (last[0] * 14, last[1] * 14)
    assert found == sorted(found)


@given(text=st.text(max_size=30))
@example(text="[[14, 28]]")
def test_any_text_is_refused_or_gives_grids(text):
    try:
        found = pinpoints_of(text)
    except ConversionError as refused:
        assert "image_grid_pinpoints" in str(refused)
    else:
        assert found and all(n > 0 and n % 14 == 0 for grid in found for n in grid)
