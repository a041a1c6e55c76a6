from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from lmms_eval.models import get_model

from ndino.evaluation.lmms_eval_adapter.registration import manifests

WRAPPERS = Path(__file__).parents[3] / "overlay" / "lmms_eval" / "models" / "simple"


def test_every_wrapper_of_the_overlay_has_a_manifest():
    assert {manifest.model_id for manifest in manifests()} == {path.stem for path in WRAPPERS.glob("*.py")}


def test_the_installed_entry_point_is_ours_and_lmms_eval_finds_the_classes():
    (entry,) = [e for e in entry_points(group="lmms_eval.models") if e.name == "ndino"]
    assert entry.load() is manifests
    for manifest in manifests():
        assert get_model(manifest.model_id).__name__ == manifest.simple_class_path.split(".")[-1]
