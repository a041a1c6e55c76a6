"""Time to tile an image as the vision tower takes it, against transformers' image processor for LLaVA-NeXT.

    python -m benchmarks.tile_images             a few seconds

The paper's tower side (336 pixels) and grid, drawn images of several sizes, already decoded. The two ways
alternate; time is the smallest CPU time of a call, in one thread.

Goal: at 640 x 480, 2 times transformers' images per CPU second, with pixels equal bit for bit at all sizes.
The last line is JSON: ``name``, ``ratio`` (by size, transformers' time over ours), ``goal``, ``equal`` and
``conditions``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from benchmarks.bench.result import print_result
from ndino.train.images import tile_anyres

SIDE, PATCH = 336, 14
GRID = [[672, 336], [336, 672], [672, 672], [336, 1008], [1008, 336]]
SIZES = ((640, 480), (336, 336), (500, 375), (427, 640), (1024, 768), (2000, 1500), (97, 40))
MEASURED, GOAL = (640, 480), 2.0


def drawn(size: tuple[int, int]) -> Image.Image:
    """Noise of ``size`` (width, height), the hardest to resize."""
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def best_times(ways: list[Callable[[], Any]], turns: int) -> list[float]:
    """The smallest CPU seconds of each way, called in turn."""
    best = [float("inf")] * len(ways)
    for _ in range(turns):
        for index, way in enumerate(ways):
            begin = time.process_time()
            way()
            best[index] = min(best[index], time.process_time() - begin)
    return best


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--turns", type=int, default=20, metavar="N", help="calls of each way (default: %(default)s)"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    image_processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=GRID
    )
    # The count of tokens needs a whole processor, and is no part of either way.
    processor = cast(
        "Any",
        SimpleNamespace(
            image_processor=image_processor,
            patch_size=PATCH,
            num_additional_image_tokens=1,
            _get_number_of_features=lambda *size: 1,
        ),
    )
    ratios, milliseconds, equal = {}, {}, True
    for size in SIZES:
        image = drawn(size)

        def theirs(image: Image.Image = image) -> torch.Tensor:
            pixels = image_processor(image, return_tensors="pt", do_pad=False)["pixel_values"]
            return torch.as_tensor(pixels[0])

        def ours(image: Image.Image = image) -> torch.Tensor:
            return tile_anyres(image, processor).pixels

        same = torch.equal(theirs(), ours())
        equal &= same
        slow, fast = best_times([theirs, ours], options.turns)
        name = f"{size[0]}x{size[1]}"
        ratios[name] = round(slow / fast, 2)
        milliseconds[name] = [round(1000 * slow, 2), round(1000 * fast, 2)]
        print(f"{name}: {1000 * slow:.1f} ms and {1000 * fast:.1f} ms, {'equal' if same else 'DIFFERENT'}")
    measured = ratios[f"{MEASURED[0]}x{MEASURED[1]}"]
    print_result(
        "tile_images",
        ratio=ratios,
        goal={f"{MEASURED[0]}x{MEASURED[1]}": GOAL},
        equal=equal,
        conditions={
            "measure": "smallest CPU milliseconds of a call, transformers' and ours",
            "milliseconds": milliseconds,
            "turns": options.turns,
            "threads": 1,
        },
        packages=("transformers", "pillow"),
    )
    return 0 if equal and measured >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
