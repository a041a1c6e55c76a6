"""Samples per second of LLaVA-NeXT's data loader, with and without our patch, one 640x480 image per sample.

    python -m benchmarks.upstream_loader                about two minutes
    python -m benchmarks.upstream_loader --samples 4

Both run in upstream's environment, each in its own process, in turns, with LLaMA 3's own tokenizer (128,256
tokens), CLIP's preprocessing at 336 pixels, the paper's grids, no worker processes and one thread. The
unpatched tree is the pinned commit plus what it cannot run without: the gated tokenizer at its hub path below
the working directory, and a chat template.

Goal: 10 times the unpatched speed with equal samples: equal pixels, and equal ids and labels except for the
system prompt that the unpatched code inserts. The last line is JSON: ``name``, ``ratio`` (samples per second,
patched over unpatched), ``goal``, ``equal`` and ``conditions``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from safetensors.torch import load_file

from benchmarks.bench.result import print_result
from fixtures.llama3 import llama3_tokenizer
from ndino.common.files import write_json
from ndino.formats.model_folder import make_tokenizer_portable
from ndino.formats.prompts import LLAMA3_CHAT_TEMPLATE
from ndino.llava_next.engine import Tree, find_tree
from ndino.train.stage import StageError

GOAL = 10.0
TURNS = 2
SIZE = (640, 480)
SIDE = Path(__file__).with_name("upstream_loader_side.py")
HUB_PATH = Path("meta-llama", "Meta-Llama-3-8B-Instruct")


def write_inputs(folder: Path, samples: int) -> None:
    """Write tokenizer, images and rows to ``folder``."""
    tokenizer = llama3_tokenizer()
    tokenizer.chat_template = LLAMA3_CHAT_TEMPLATE
    tokenizer.save_pretrained(folder / HUB_PATH)
    path = folder / HUB_PATH / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    make_tokenizer_portable(settings)
    write_json(path, settings | {"chat_template": LLAMA3_CHAT_TEMPLATE})
    rng = random.Random(0)
    rows = []
    for number in range(samples):
        noise = Image.frombytes("RGB", (64, 48), rng.randbytes(64 * 48 * 3))
        noise.resize(SIZE, Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)
        answer = f"Nell'immagine numero {number} si vedono molte macchie di colore, e nulla di più. " * 2
        turns = [("human", "<image>\nDescrivi l'immagine."), ("gpt", answer)]
        rows.append(
            {
                "id": str(number),
                "image": f"{number}.jpg",
                "conversations": [{"from": role, "value": text} for role, text in turns],
            }
        )
    write_json(folder / "rows.json", rows)


def unpatched(tree: Tree, folder: Path) -> Path:
    """Write the pinned commit without our patch to ``folder``."""
    folder.mkdir()
    archive = subprocess.run(
        ["git", "-C", tree.folder, "archive", "HEAD", "llava", "trl"], check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder


def measure(tree: Tree, code: Path, folder: Path, out: Path) -> float:
    """Samples per second with the source tree ``code``; the samples are saved to ``out``."""
    done = subprocess.run(
        [tree.python, SIDE, out],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(code), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return round(float(done.stdout.splitlines()[-1]), 2)


def same_samples(patched: Path, plain: Path, samples: int) -> bool:
    """Whether pixels are equal, and ids and labels after the BOS and the unpatched system prompt."""
    ours, theirs = load_file(patched), load_file(plain)
    for number in range(samples):
        if not ours[f"{number}.pixels"].equal(theirs[f"{number}.pixels"]):
            return False
        for kind in ("ids", "labels"):
            tail = ours[f"{number}.{kind}"][1:]
            if not tail.equal(theirs[f"{number}.{kind}"][-len(tail) :]):
                return False
    return True


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=12)
    options = parser.parse_args()
    try:
        tree = find_tree()
    except StageError as error:
        print(f"upstream_loader: {error}", file=sys.stderr)
        return 2
    speeds: dict[str, list[float]] = {"unpatched": [], "patched": []}
    with tempfile.TemporaryDirectory(prefix="ndino-loader-") as name:
        folder = Path(name)
        write_inputs(folder, options.samples)
        codes = {"unpatched": unpatched(tree, folder / "unpatched"), "patched": tree.folder}
        for turn in range(TURNS):
            for way, code in codes.items():
                speeds[way].append(measure(tree, code, folder, folder / f"{way}.safetensors"))
                print(f"turn {turn + 1}, {way}: {speeds[way][-1]} samples/s", flush=True)
        equal = same_samples(
            folder / "patched.safetensors", folder / "unpatched.safetensors", options.samples
        )
    ratio = max(speeds["patched"]) / max(speeds["unpatched"])
    print_result(
        "upstream_loader",
        ratio=round(ratio, 1),
        goal=GOAL,
        equal=equal,
        conditions={
            "measure": "samples a second, wall-clock, patched over unpatched; one thread, no workers",
            "samples": options.samples,
            "image": "x".join(map(str, SIZE)),
            "samples_per_second": {way: [round(s, 2) for s in found] for way, found in speeds.items()},
            "turns": TURNS,
        },
        # Upstream's own packages are those of constraints-llava.txt.
        packages=("pillow",),
    )
    return 0 if equal and ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
