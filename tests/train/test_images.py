"""Reading images, and tiling them as the vision tower takes them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from ndino.train.images import ImageError, _normalised, open_image, tile_anyres, tile_square
from ndino.train.loss import image_features
from tests.properties import examples
from tests.train.samples import collate, image, make_sample


def test_any_mode_becomes_rgb(tmp_path):
    Image.new("LA", (4, 3), (200, 0)).save(tmp_path / "grey.png")
    read = open_image("grey.png", tmp_path)
    assert (read.mode, read.size) == ("RGB", (4, 3))


def test_what_cannot_be_read_is_named_with_its_reason(tmp_path):
    image((64, 64)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ImageError, match=r"image nowhere\.png is not in "):
        open_image("nowhere.png", tmp_path)
    for name in ("cut.png", "text.png"):
        with pytest.raises(ImageError, match=rf"image {name} cannot be read: .+ \(remedy: "):
            open_image(name, tmp_path)


def test_a_truncated_image_is_an_error_whatever_the_process_has_set(tmp_path, monkeypatch):
    image((64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-60])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as lmms-eval leaves it
    with pytest.raises(ImageError, match=r"torn\.png"):
        open_image("torn.png", tmp_path)


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


@pytest.fixture(scope="module")
def paper_processor() -> SimpleNamespace:
    """The image processor of the paper's grid and tower side, as a processor holds it."""
    image_processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": 336},
        crop_size={"height": 336, "width": 336},
        image_grid_pinpoints=[[672, 336], [336, 672], [672, 672], [336, 1008], [1008, 336]],
    )
    tokens = {"patch_size": 14, "num_additional_image_tokens": 1, "_get_number_of_features": lambda *size: 1}
    return SimpleNamespace(image_processor=image_processor, **tokens)


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    width, height = size
    values = np.random.default_rng(0).integers(0, 256, (height, width, 4), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize(
    ("size", "mode"),
    [((640, 480), "RGB"), ((479, 641), "L"), ((336, 336), "RGBA"), ((30, 21), "P"), ((1008, 336), "CMYK"),
     ((37, 900), "1"), ((1300, 5), "LA"), ((4, 4), "RGB"), ((673, 671), "YCbCr")],
)  # fmt: skip
def test_tiles_are_bit_for_bit_those_of_transformers(paper_processor, size, mode):
    read = noise(size, mode).convert("RGB")
    theirs = paper_processor.image_processor(read, return_tensors="pt", do_pad=False)["pixel_values"][0]
    assert torch.equal(tile_anyres(read, paper_processor).pixels, torch.as_tensor(theirs))


def test_images_that_transformers_takes_for_another_layout_are_tiled_like_their_neighbours(paper_processor):
    # With a side of 1 or 3 pixels it takes rows or columns for channels, and fails.
    for size in ((1, 1), (3, 200), (200, 3)):
        assert tile_anyres(noise(size), paper_processor).pixels.shape[1:] == (3, 336, 336)


@pytest.mark.parametrize(
    "of", [{}, {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}], ids=["clip", "siglip"]
)
def test_every_value_of_a_pixel_is_normalised_as_transformers_does(of):
    values = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    image_processor = LlavaNextImageProcessorPil(**of)
    scaled = image_processor.rescale(image=values.transpose(2, 0, 1), scale=image_processor.rescale_factor)
    theirs = image_processor.normalize(
        image=scaled, mean=image_processor.image_mean, std=image_processor.image_std
    )
    assert np.array_equal(_normalised(values[None], image_processor)[0].numpy(), theirs)


def test_one_of_several_images_is_bit_for_bit_what_transformers_makes_of_its_square(paper_processor):
    image_processor = paper_processor.image_processor
    read = noise((500, 300))
    square = Image.new("RGB", (500, 500), tuple(int(channel * 255) for channel in image_processor.image_mean))
    square.paste(read, (0, 100))
    theirs = image_processor(
        square.resize((336, 336), Image.Resampling.BICUBIC),
        return_tensors="pt",
        do_resize=False,
        do_center_crop=False,
        image_grid_pinpoints=[[336, 336]],
    )["pixel_values"][0][:1]
    assert torch.equal(tile_square(read, paper_processor).pixels, torch.as_tensor(theirs))


@examples(40)
@given(width=st.integers(8, 700), height=st.integers(8, 700))
def test_every_size_gets_as_many_tokens_as_features(built, width, height):
    model, processor = built
    batch = collate(built, make_sample(processor, image((width, height))))
    with torch.no_grad():
        (features,) = image_features(model, batch)
    assert (batch["input_ids"] == model.config.image_token_id).sum() == len(features)
