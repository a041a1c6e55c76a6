"""What the entry point group ``lmms_eval.models`` tells lmms-eval: the model wrappers that we lay over it."""

from __future__ import annotations

from lmms_eval.models.registry_v2 import ModelManifest


def manifests() -> list[ModelManifest]:
    """One manifest for each wrapper of ``overlay/lmms_eval/models/simple/``."""
    folder = "lmms_eval.models.simple"
    return [
        ModelManifest(model_id="llava_next_it", simple_class_path=f"{folder}.llava_next_it.LlavaNextIt"),
        ModelManifest(model_id="mblip", simple_class_path=f"{folder}.mblip.MBlip"),
    ]
