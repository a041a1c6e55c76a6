"""Reading images, and tiling them as the vision tower takes them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ndino.train.images import ImageError, open_image, tile_anyres, tile_square
from ndino.train.loss import image_features
from tests.train.samples import collate, image, make_sample


def test_any_mode_becomes_rgb(tmp_path):
    Image.new("LA", (4, 3), (200, 0)).save(tmp_path / "grey.png")
    read = open_image(tmp_path / "grey.png")
    assert (read.mode, read.size) == ("RGB", (4, 3))


def test_what_cannot_be_read_is_named_with_its_reason(tmp_path):
    image((64, 64)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ImageError, match=r"nowhere\.png: no such image"):
        open_image(tmp_path / "nowhere.png")
    for name in ("cut.png", "text.png"):
        with pytest.raises(ImageError, match=rf"{name}: cannot be read as an image \(.+\)"):
            open_image(tmp_path / name)


def test_anyres_gives_the_whole_image_and_the_grid_s_tiles(built):
    _, processor = built
    wide = tile_anyres(image((112, 50)), processor)
    assert wide.pixels.shape == (3, 3, 56, 56) and wide.pixels.dtype == torch.float32
    assert wide.size == (50, 112)
    square = tile_anyres(image((112, 112)), processor)
    assert square.pixels.shape == (5, 3, 56, 56)
    # Four tokens of the whole image, four rows of four with a newline each.
    assert square.tokens == 4 + 4 * 5


def test_square_padding_keeps_the_whole_image(built):
    _, processor = built
    wide = Image.new("RGB", (200, 100), (255, 0, 0))
    pixels = tile_square(wide, processor).pixels[0]
    mean = torch.tensor(processor.image_processor.image_mean)
    middle, top = pixels[:, 28, 28], pixels[:, 2, 28]
    assert middle[0] > middle[1]
    # The padding is the processor's mean colour, which is 0 after normalising.
    assert top.abs().max() < 0.02 and mean.shape == (3,)


@settings(max_examples=40, deadline=None)
@given(width=st.integers(8, 700), height=st.integers(8, 700))
def test_every_size_gets_as_many_tokens_as_features(built, width, height):
    model, processor = built
    batch = collate(built, make_sample(processor, image((width, height))))
    with torch.no_grad():
        (features,) = image_features(model, batch)
    assert (batch["input_ids"] == model.config.image_token_id).sum() == len(features)
