"""Found copies, false matches and rates of `ndino data leaks`.

    python -m benchmarks.leaks                    200 photographs and 30 pages of each kind, up to 10 minutes
    python -m benchmarks.leaks --images 1000

No photographs come with the project: in their place are random images whose amplitudes fall with frequency as
those of photographs do. Exam sheets, pages, signs, charts and screenshots are drawn: those of one kind share
their layout and differ in text and numbers. Each kind of copy is planted once for every image. All pairs of
different images of one kind count as chances of a false match. The rate of looking up is measured with 10,000
random hashes as the benchmarks' images, that of comparing with exam sheets.

Goal: every copy but the crop by a fifth is found (exact or near), and no different image is. Images that are
possibly the same are counted apart. The last line is JSON: ``ratio`` is the share of those copies that is
found, ``equal`` whether no match was false; ``conditions`` holds the rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.bench.result import print_result
from fixtures.pages import PAGES
from fixtures.photographs import COPIES, jpeg, photograph, png
from ndino.common.images import read_image
from ndino.data.leaks.benchmarks import BenchmarkIndex
from ndino.data.leaks.compare import Sketch, sketch
from ndino.data.leaks.hashes import HashedImage, HashStore, hash_image
from ndino.data.leaks.matching import POSSIBLY, SEEN, Matcher

BENCHMARK_IMAGES = 10_000
LOOKED_UP = 1000
COMPARED = 30
HARD = "cropped by 20 %"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200, help="photographs (default: %(default)s)")
    parser.add_argument("--pages", type=int, default=30, help="of each kind (default: %(default)s)")
    args = parser.parse_args()
    kinds = {"photographs": _measured(photograph, args.images)}
    kinds |= {name: _measured(draw, args.pages) for name, draw in PAGES.items()}
    found = [rate for kind in kinds.values() for copy, rate in kind["found"].items() if copy != HARD]
    false = sum(kind["false"] for kind in kinds.values())
    ratio = round(float(np.mean(found)), 4)
    packages = ("ImageHash", "numpy", "pillow", "scipy")
    print_result(
        "leaks", ratio=ratio, goal=1.0, equal=not false, conditions={**kinds, **_rates()}, packages=packages
    )
    return 0 if ratio == 1 and not false else 1


def _measured(draw: Callable[[int], Image.Image], images: int) -> dict[str, Any]:
    """By kind of copy, the share that is found; the false and the merely possible matches of all pairs."""
    originals = [draw(seed) for seed in range(images)]
    found, counts = {}, Counter()
    with tempfile.TemporaryDirectory() as folder:
        benchmark = Path(folder, "benchmarks", "owner", "set")
        benchmark.mkdir(parents=True)
        for number, image in enumerate(originals):
            (benchmark / f"{number:06}.png").write_bytes(png(image))
        store = HashStore(Path(folder, "hashes.sqlite"))
        with Matcher(BenchmarkIndex(Path(folder, "benchmarks"), store), store, workers=1) as matcher:
            for name, copy in COPIES.items():
                paths = [Path(folder, f"{name} {number}") for number in range(images)]
                for path, image in zip(paths, originals, strict=True):
                    path.write_bytes(copy(image))
                right = 0
                for number, matches in enumerate(matcher.match(paths)):
                    if isinstance(matches, str):
                        raise SystemExit(f"{paths[number]}: {matches}")
                    for match in matches:
                        own, seen = match.image == number, match.kind in SEEN
                        right += own and seen
                        counts["false"] += not own and seen
                        counts["possible"] += not own and match.kind == POSSIBLY
                found[name] = right / images
    pairs = images * (images - 1) * len(COPIES)
    return {"found": found, "false": counts["false"], "possible": counts["possible"], "pairs": pairs}


def _rates() -> dict[str, float]:
    """Images hashed, rows looked up, and pairs compared, by one core and CPU second."""
    encoded = jpeg(photograph(0).resize((640, 480)), 90)
    before = time.process_time()
    for _ in range(50):
        hash_image(read_image(encoded))
    hashed = 50 / (time.process_time() - before)
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "owner", "set").mkdir(parents=True)
        index = BenchmarkIndex(Path(folder), HashStore(Path(folder, "hashes.sqlite")))
    index.fill([_random(random) for _ in range(BENCHMARK_IMAGES)])
    asked = [_random(random) for _ in range(LOOKED_UP)]
    before = time.process_time()
    index.alike(asked)
    looked_up = LOOKED_UP / (time.process_time() - before)
    sheets = [Sketch(sketch(PAGES["exam sheets"](seed))) for seed in range(COMPARED)]
    before = time.process_time()
    for sheet in sheets:
        for other in sheets:
            sheet.agreement(other)
    compared = COMPARED**2 / (time.process_time() - before)
    return {
        "hashed_640x480_jpeg_per_cpu_second": round(hashed, 1),
        f"looked_up_in_{BENCHMARK_IMAGES}_per_cpu_second": round(looked_up),
        "pairs_compared_per_cpu_second": round(compared),
    }


def _random(random: np.random.Generator) -> HashedImage:
    return HashedImage(random.bytes(8).hex(), random.bytes(32), random.bytes(192))


if __name__ == "__main__":
    raise SystemExit(main())
