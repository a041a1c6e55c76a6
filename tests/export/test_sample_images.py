"""The images of the comparison, and the known difference in cutting padding off."""

from __future__ import annotations

import json
import random
import subprocess

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.llava_next.modeling_llava_next import unpad_image

from ndino.export import verify as checks
from ndino.export.sample_images import draw_images, hugging_face, kept_features, upstream

PAPER = [[672, 336], [336, 672], [672, 672], [336, 1008], [1008, 336]]
PATCH = 14
KNOWN = {(352, 748), (396, 704), (423, 752), (704, 396), (748, 352), (752, 423)}
SCANNED = range(336, 764)


def both(width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return tuple(
        kept_features(width, height, PAPER, PATCH, rounded=rounded) for rounded in (upstream, hugging_face)
    )


def tiles(width: int, height: int) -> torch.Tensor:
    """Features of the grid that the size falls into, before the padding is cut off."""
    from transformers.image_processing_utils import select_best_resolution

    high, wide = select_best_resolution((height, width), PAPER)
    return torch.zeros(1, high // PATCH, wide // PATCH)


def test_there_are_six_sizes_with_the_known_difference():
    sizes = [(width, height) for width in SCANNED for height in SCANNED]
    assert len(sizes) == 183_184
    assert {size for size in sizes if len(set(both(*size))) > 1} == KNOWN


def test_748_by_352_differs_by_48_tokens():
    ours, theirs = both(748, 352)
    base = (336 // PATCH) ** 2
    assert base + theirs[1] * (theirs[0] + 1) == 1848
    assert base + ours[1] * (ours[0] + 1) == 1800


@pytest.mark.parametrize("size", [*KNOWN, (640, 480), (50, 30), (30, 50), (2000, 300), (336, 336)])
def test_hugging_face_rounds_like_our_formula(size):
    kept = unpad_image(tiles(*size), (size[1], size[0]))
    assert both(*size)[1] == (kept.shape[2], kept.shape[1])


@pytest.mark.upstream
def test_upstream_rounds_like_our_formula():
    drawn = random.Random(0)
    sizes = [*KNOWN, *((drawn.randint(1, 3000), drawn.randint(1, 3000)) for _ in range(300))]
    script = """
import json, sys, torch
from llava.model.llava_arch import unpad_image
for size, shape in json.load(sys.stdin):
    kept = unpad_image(torch.zeros(shape), size)
    print(json.dumps([kept.shape[2], kept.shape[1]]))
"""
    asked = json.dumps([[size, list(tiles(*size).shape)] for size in sizes])
    done = subprocess.run(
        [checks.UPSTREAM_PYTHON, "-c", script],
        cwd=checks.UPSTREAM_TREE,
        input=asked,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]
    assert found == [both(*size)[0] for size in sizes]


def test_the_four_images_are_sized_by_the_tower():
    images = draw_images(336, PAPER, PATCH)
    shapes = {name: image.shape[:2] for name, image in images.items()}
    assert shapes["wide"][1] > 2 * shapes["wide"][0] and shapes["tall"][0] > 2 * shapes["tall"][1]
    assert shapes["square"][0] == shapes["square"][1]
    assert shapes["small"] == (30, 50)
    assert all(image.std() > 10 for image in images.values())


@given(
    side=st.sampled_from([28, 56, 224, 336]),
    grids=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=6),
)
def test_images_avoid_the_known_difference(side, grids):
    pinpoints = [[high * side, wide * side] for high, wide in grids]
    for image in draw_images(side, pinpoints, side // 2).values():
        height, width = image.shape[:2]
        ours, theirs = (
            kept_features(width, height, pinpoints, side // 2, rounded=rounded)
            for rounded in (upstream, hugging_face)
        )
        assert ours == theirs
