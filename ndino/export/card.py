"""Writes the model card of a converted model from the manifest of its training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ndino.common.files import write_text
from ndino.common.markdown import one_cell, table
from ndino.export.checkpoint import read_json


def find_manifest(src: Path, manifest: Path | None) -> dict[str, Any]:
    """Read ``manifest``, or manifest.json in ``src`` or its parent folder; empty if there is none.

    Raises:
        ConversionError: the file cannot be read.
    """
    if manifest is not None:
        return read_json(manifest)
    for path in (src / "manifest.json", src.resolve().parent / "manifest.json"):
        if path.is_file():
            return read_json(path)
    return {}


def write_card(path: Path, *, name: str, tower: str, run: dict[str, Any]) -> None:
    """Write the card of model ``name`` to ``path``; ``run`` is its manifest, or empty."""
    recipe, data = run.get("recipe", {}), run.get("data", {})
    rows = {
        "recipe": recipe.get("name"),
        "prompt": recipe.get("prompt"),
        "data": data.get("file"),
        "data, sha256": data.get("sha256"),
        "steps": run.get("steps"),
        "seed": run.get("seed"),
        "commit": run.get("commit"),
        **{f"{repository}, commit": commit for repository, commit in (run.get("upstream") or {}).items()},
        **{f"started from, {role}": weights for role, weights in (run.get("start") or {}).items()},
        **(run.get("versions") or {}),
    }
    named = [(label, f"`{one_cell(str(value))}`") for label, value in rows.items() if value is not None]
    text = [
        "---",
        "library_name: transformers",
        "pipeline_tag: image-text-to-text",
        "---",
        f"# {name}",
        "",
        "A LLaVA-NeXT model in Hugging Face's format, converted from a checkpoint of the original code with "
        "`convert_llava_weights.py`. Weights have the checkpoint's dtype, image grids are (height, width). "
        f"Vision tower: `{Path(tower).name if Path(tower).is_absolute() else tower}`.",
        "",
        "## Training",
        "",
        *(table(("", ""), named) if named else ["The checkpoint had no manifest of its training run."]),
        "",
        "## Use",
        "",
        "The chat template is LLaMA 3's without a system prompt. It contains `<|begin_of_text|>` and the "
        "tokenizer adds none, so a rendered conversation can be tokenised with or without special tokens.",
        "",
        "For a few image sizes (6 of the 183,184 from 336x336 to 763x763 with the paper's grids) the "
        "original code removes one more row or column of features from each side than Hugging Face's.",
        "",
    ]
    write_text(path, "\n".join(text))
