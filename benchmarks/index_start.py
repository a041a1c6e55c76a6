"""Time until a stage knows its rows: with an index that is there already, and with none.

    python -m benchmarks.index_start                  20,000 rows, about a minute
    python -m benchmarks.index_start --rows 558000    as many as LCS-558K, ten minutes and 1 GB of disk

Rows as of image captions: an image each and some 20 tokens, with LLaMA 3's tokenizer and the paper's grid.
The images are names of a few JPEG files, so their headers come from the system's cache: from a disk or a
network a cold start takes longer. Each start is a process of its own, timed after its imports. A cold start
makes the index, warm ones open it.

Goal: a warm start 10 times as fast as a cold one, with equal rows, and in less than 30 s at 558,000 rows. The
last line is JSON: ``name``, ``ratio`` (seconds, cold over warm), ``goal``, ``equal`` (the rows and their ids)
and ``conditions``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.bench.result import print_result

ROOT = Path(__file__).resolve().parents[1]
GOAL, WARM_SECONDS = 10.0, 30.0
SIZES = ((640, 480), (336, 336), (500, 375), (427, 640), (1024, 768))
WORDS = "un gatto nero che dorme su divano rosso accanto a finestra aperta con due persone".split()  # noqa: SIM905
SIDE, PATCH = 336, 14


def write_data(folder: Path, rows: int) -> None:
    """``data.jsonl`` of ``rows`` rows, and their images in ``images``."""
    rng = random.Random(0)
    (folder / "images").mkdir(parents=True)
    first = folder
    for number, size in enumerate(SIZES):
        Image.effect_noise(size, 40).convert("RGB").save(folder / f"{number}.jpg", quality=80)
    with (folder / "data.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            # In folders of a thousand, as LCS-558K has them; each is one file of many names.
            part, place = divmod(number, 1000)
            image = f"{part:05d}/{number:09d}.jpg"
            path = folder / "images" / image
            if place == 0:
                path.parent.mkdir()
                first = Path(shutil.copy(folder / f"{part % len(SIZES)}.jpg", path))
            else:
                path.hardlink_to(first)
            caption = " ".join(rng.choices(WORDS, k=rng.randint(8, 30)))
            question = "<image>\nDescrivi l'immagine."
            turns = [{"from": "human", "value": question}, {"from": "gpt", "value": caption}]
            file.write(json.dumps({"id": str(number), "image": image, "conversations": turns}) + "\n")


def start(folder: Path) -> dict:
    """One start on ``folder``, in this process: its seconds, and what it found."""
    import datasets  # noqa: F401 - transformers' Trainer imports it too
    from transformers import CLIPVisionConfig, CLIPVisionModel

    from fixtures.llama3 import llama3_tokenizer
    from ndino.formats.backbones.tower import VisionTower
    from ndino.formats.model_folder import prepare_tokenizer
    from ndino.formats.recipes import load_recipe
    from ndino.train.build import build_processor
    from ndino.train.rows.building import make_index
    from ndino.train.rows.index import open_index

    recipe = load_recipe(ROOT / "launch" / "recipes" / "it.yaml")
    vision = CLIPVisionConfig(image_size=SIDE, patch_size=PATCH)
    layers = vision.num_hidden_layers
    tower = VisionTower(vision, CLIPVisionModel, SIDE, PATCH, layers, class_token=True, normalisation={})
    processor = build_processor(prepare_tokenizer(llama3_tokenizer()), tower, recipe)
    begin, cpu = time.perf_counter(), time.process_time()
    made = make_index(folder / "data.jsonl", folder / "images", processor, recipe, beside=folder / "run")
    index = open_index(made)
    lengths = index.lengths
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    some = np.linspace(0, len(index) - 1, 50).astype(int).tolist()
    ids = [int(np.asarray(index[position].input_ids).sum()) for position in some]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "rows": len(index),
        "found": [index.digest, int(lengths.sum()), ids],
    }


def started(folder: Path) -> dict:
    """`start` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.index_start", "--start", folder],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, metavar="N", help="rows (default: %(default)s)")
    parser.add_argument(
        "--turns", type=int, default=3, metavar="N", help="warm starts (default: %(default)s)"
    )
    parser.add_argument("--start", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start is not None:
        print(json.dumps(start(options.start)))
        return 0
    with tempfile.TemporaryDirectory(prefix="index-start-") as name:
        folder = Path(name)
        write_data(folder, options.rows)
        cold = started(folder)
        print(f"cold: {cold['seconds']:.1f} s for {cold['rows']:,} rows", flush=True)
        warm = []
        for _ in range(options.turns):
            warm.append(started(folder))
            print(f"warm: {warm[-1]['seconds']:.2f} s", flush=True)
        size = sum(path.stat().st_size for path in (folder / ".index").rglob("*") if path.is_file())
    equal = cold["rows"] == options.rows and all(each["found"] == cold["found"] for each in warm)
    seconds = statistics.median(each["seconds"] for each in warm)
    ratio = cold["seconds"] / seconds
    print_result(
        "index_start",
        ratio=round(ratio, 1),
        goal=GOAL,
        equal=equal,
        conditions={
            "measure": "seconds after the imports: cold over the median of the warm starts",
            "rows": options.rows,
            "cold_seconds": round(cold["seconds"], 1),
            "cold_cpu_seconds": round(cold["cpu_seconds"], 1),
            "warm_seconds": round(seconds, 2),
            "warm_cpu_seconds": round(statistics.median(each["cpu_seconds"] for each in warm), 2),
            "index_mb": round(size / 1e6, 1),
        },
        packages=("transformers",),
    )
    return 0 if equal and ratio >= GOAL and seconds < WARM_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
