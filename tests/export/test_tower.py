"""The checkpoint's tower: another kind, another size, another place."""

from __future__ import annotations

import json

from tests.export.refusals import change_config, refusal


def test_a_tower_that_is_not_clip_or_not_there(copied, tmp_path):
    other = tmp_path / "siglip"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "siglip"}')
    change_config(copied, mm_vision_tower=str(other))
    assert f"{other}: the vision tower is a siglip model; others than CLIP: not yet" in refusal(copied)
    change_config(copied, mm_vision_tower="open_clip_hub:x")
    assert "the vision tower is open_clip_hub:x; others than CLIP: not yet" in refusal(copied)
    change_config(copied, mm_vision_tower="/nowhere/clip")
    assert (
        "/nowhere/clip/config.json: the vision tower has no such file (remedy: give its folder with"
        in refusal(copied)
    )


def test_a_tower_of_another_size(copied, tower, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name, changes in (("config.json", {"patch_size": 14}), ("preprocessor_config.json", {})):
        (other / name).write_text(json.dumps(json.loads((tower / name).read_text()) | changes))
    assert "patch_embedding.weight is" in refusal(copied, vision_tower=other)
    changes = {"size": 224, "crop_size": 224}
    (other / "config.json").write_text((tower / "config.json").read_text())
    (other / "preprocessor_config.json").write_text(
        json.dumps(json.loads((tower / "preprocessor_config.json").read_text()) | changes)
    )
    assert "preprocessor_config.json resizes images to 224" in refusal(copied, vision_tower=other)
