"""Our package's entry point ``lmms_eval.models``: tells lmms-eval the model wrappers in ``overlay/``."""

from __future__ import annotations

from lmms_eval.models.registry_v2 import ModelManifest

FOLDER = "lmms_eval.models.simple"


def manifests() -> list[ModelManifest]:
    """One manifest for each wrapper in ``overlay/lmms_eval/models/simple/``.

    lmms-eval calls this when it lists or loads models, so both its command line and ours know the wrappers.
    """
    return [
        ModelManifest(model_id="llava_next_it", simple_class_path=f"{FOLDER}.llava_next_it.LlavaNextIt"),
        ModelManifest(model_id="mblip", simple_class_path=f"{FOLDER}.mblip.MBlip"),
    ]
