"""Every colour has a name, and plain colours have the expected one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from miniature.worlds.stamp_colours import colour_shares
from ndino.languages.lexicon import STAMP_COLOURS, stamp_words
from tests.miniature.worlds.stamps_package import COLOURS

WORDS = stamp_words("it")


@pytest.mark.parametrize("name", COLOURS)
def test_a_plain_image_has_its_colour(name):
    assert colour_shares(Image.new("RGBA", (8, 8), (*COLOURS[name], 255)), WORDS) == [(name, 1.0)]


@given(rgb=st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_has_a_name(rgb):
    image = Image.new("RGBA", (4, 4), (*rgb, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    ((colour, share),) = colour_shares(image, WORDS)
    assert share == 1.0 and colour in STAMP_COLOURS
