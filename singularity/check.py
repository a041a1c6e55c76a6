"""Is the image whole? Its ``%test`` runs this inside: ``check.py llava_next`` or ``check.py native``."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path("/opt/ndino")
MODULES = {
    "llava_next": "torch transformers accelerate deepspeed datasets safetensors ijson yaml ndino.cli "
    "ndino.cluster.command llava.train.train",
    "native": "torch transformers accelerate deepspeed datasets lmms_eval ctranslate2 pytesseract pypdfium2 "
    "statsmodels ndino.cli ndino.train.engine ndino.export.converter ndino.evaluation.command "
    "ndino.evaluation.perplexity.score_set ndino.results.report ndino.cluster.command ndino.data.command",
}
PROGRAMS = {"llava_next": (), "native": ("tesseract", "apertium", "mksquashfs")}


def check(image: str) -> None:
    """Import everything, find every program; AssertionError or ImportError names what is missing."""
    modules = MODULES[image].split()
    if (HERE / "flash-attn").read_text().strip() != "none":
        modules.append("flash_attn")
    for name in modules:
        importlib.import_module(name)
    for program in PROGRAMS[image]:
        assert shutil.which(program), f"{program} is not on the path"
    left_out = ""
    if image == "llava_next":
        _check_tree()
    else:
        _check_lmms_eval()
        if (HERE / "llava-next").read_text().strip() == "none":
            left_out = " but for LLaVA-NeXT, which was left out"
        else:
            _check_upstream()
    print(f"{image}: whole{left_out}; torch {version('torch')}, transformers {version('transformers')}")


def _check_tree() -> None:
    from llava.train import train

    from ndino.upstream import llava_next_folder

    # Refuses a tree that is not the pinned commit with every patch and every file of ours.
    folder = llava_next_folder()
    assert Path(train.__file__).is_relative_to(folder), f"{train.__file__} is not of {folder}"
    module = train.preprocess_llama3.__module__
    assert module.startswith("llava.ndino"), f"preprocess_llama3 is {module}'s: the patch is not in"


def _check_lmms_eval() -> None:
    from ndino.upstream import lmms_eval_folder

    folder = lmms_eval_folder()
    for name in ("ndino_it.yaml", "llava_next_it.py", "mblip.py"):
        assert any(folder.rglob(name)), f"{folder}: {name} is not laid over it"


def _check_upstream() -> None:
    from ndino.export.verify import UPSTREAM_PYTHON, UPSTREAM_TREE, upstream_is_there

    assert upstream_is_there(), f"{UPSTREAM_TREE} or {UPSTREAM_PYTHON} is not there"
    command = [str(UPSTREAM_PYTHON), "-c", "import ndino.llava_next.upstream_logits"]
    subprocess.run(
        command, cwd=UPSTREAM_TREE, check=True, env=os.environ | {"PYTHONPATH": str(UPSTREAM_TREE)}
    )


if __name__ == "__main__":
    check(sys.argv[1])
