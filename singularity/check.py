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
    "llava_next": "torch transformers accelerate deepspeed datasets safetensors yaml ndino.cli "
    "ndino.cluster.command llava.train.train",
    "native": "torch transformers accelerate deepspeed datasets lmms_eval ctranslate2 pytesseract pypdfium2 "
    "statsmodels ndino.cli ndino.train.engine ndino.export.converter ndino.evaluation.commands.evaluate "
    "ndino.evaluation.perplexity.score_set ndino.results.report ndino.cluster.command ndino.data.command",
}
PROGRAMS = {"llava_next": (), "native": ("tesseract", "apertium", "mksquashfs")}


def check(image: str) -> None:
    """Import everything, find every program; AssertionError or ImportError names what is missing."""
    for name in MODULES[image].split():
        importlib.import_module(name)
    attention = ""
    if (HERE / "flash-attn").read_text().strip() != "none":
        attention = f"; flash-attn {_try_flash_attention()}"
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
    libraries = f"torch {version('torch')}, transformers {version('transformers')}{attention}"
    print(f"{image}: whole{left_out}; {libraries}")


def _try_flash_attention() -> str:
    """Run flash-attn once where there is a GPU: built for other GPUs, it imports and then fails."""
    import torch
    from flash_attn import flash_attn_func

    if not torch.cuda.is_available():
        return "not run: no GPU here (remedy: apptainer test --nv on a node with one)"
    name, capability = torch.cuda.get_device_name(), "".join(map(str, torch.cuda.get_device_capability()))
    query, key, value = torch.randn(3, 1, 16, 2, 64, device="cuda", dtype=torch.bfloat16)
    try:
        found = flash_attn_func(query, key, value, causal=True)
    except RuntimeError as error:
        raise AssertionError(
            f"flash-attn fails on {name}: {error} (remedy: build with CUDA_ARCHS={capability})"
        ) from error
    heads = [part.transpose(1, 2) for part in (query, key, value)]
    exact = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2)
    assert torch.allclose(found, exact, atol=2e-2), f"flash-attn computes something else on {name}"
    return f"runs on {name}"


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
