"""Do published folders read the same in the versions of transformers that we promise? ``make test-compat``

Each version gets a throwaway environment, which takes PyTorch and the like from this one. Folders of both
engines' making are loaded in each: logits within 1e-5, equal ids, answers and ends.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoProcessor, LlavaNextForConditionalGeneration

from fixtures.upstream_checkpoint import LLAMA31, llama, write_checkpoint, write_tower
from ndino.export.converter import convert
from ndino.train.build import save_model

VERSIONS = ("transformers==4.57.6", "transformers>=5,<6")
TOLERANCE = 1e-5
KINDS = {
    "converted": {},
    "converted, bf16 shards": {"dtype": torch.bfloat16, "shards": 3},
    "converted, tied": {"text": llama(tie_word_embeddings=True)},
    "converted, LLaMA 3.1's rope": {"text": llama(rope_parameters=LLAMA31)},
}


def published_folders(folder: Path) -> dict[str, Path]:
    """A folder of each kind, by its description."""
    tower = write_tower(folder / "tower")
    folders = {}
    for number, (kind, made) in enumerate(KINDS.items()):
        src = write_checkpoint(folder / f"src-{number}", tower, **made)
        folders[kind] = convert(src, folder / f"dst-{number}", quiet=True)
    model = LlavaNextForConditionalGeneration.from_pretrained(folders["converted"])
    folders["native engine"] = folder / "native"
    save_model(model, AutoProcessor.from_pretrained(folders["converted"]), folder / "native", prompt="llama3")
    return folders


def environment(folder: Path, requirement: str) -> Path:
    """A new environment with ``requirement``, and this one behind it; returns its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (own / "behind.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    # pip also reports packages that want another version of something; none of them is used here.
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", requirement]
    done = subprocess.run([python, *install], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{requirement} cannot be installed:\n{done.stderr[-2000:]}")
    return python


def results(python: Path | str, published: Path, out: Path) -> dict[str, torch.Tensor]:
    """What compat_probe.py finds under ``python``."""
    probe = Path(__file__).with_name("compat_probe.py")
    done = subprocess.run([python, probe, published, out], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{published.name} cannot be used:\n{done.stderr[-3000:]}")
    return load_file(out)


def differences(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> list[str]:
    """What is not equal, by name."""
    return [
        name
        for name, value in wanted.items()
        if found[name].shape != value.shape or (found[name] - value).abs().max() > TOLERANCE
    ]


def main() -> int:
    failed = False
    with tempfile.TemporaryDirectory(prefix="ndino-compat-") as temporary:
        folder = Path(temporary)
        folders = published_folders(folder)
        wanted = {kind: results(sys.executable, path, folder / "here") for kind, path in folders.items()}
        for number, requirement in enumerate(VERSIONS):
            python = environment(folder / f"env-{number}", requirement)
            show = "import transformers; print(transformers.__version__)"
            version = subprocess.run([python, "-c", show], capture_output=True, text=True, check=True)
            for kind, path in folders.items():
                apart = differences(results(python, path, folder / "there"), wanted[kind])
                failed |= bool(apart)
                verdict = f"NOT equal: {', '.join(apart)}" if apart else "equal"
                print(f"transformers {version.stdout.strip()}: {kind}: {verdict}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
