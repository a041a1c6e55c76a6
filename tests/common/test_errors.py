from __future__ import annotations

import io

import pytest
from PIL import Image

from ndino.common.errors import BROKEN_IMAGE, reason_of


def test_a_reason_is_one_line():
    assert reason_of(ValueError("two\n  lines ")) == "two lines"
    assert reason_of(KeyboardInterrupt()) == "KeyboardInterrupt"


@pytest.mark.parametrize("kept", [0, 20, 60, -200])
def test_a_torn_image_raises_what_is_caught(kept):
    whole = io.BytesIO()
    Image.effect_noise((60, 60), 50).save(whole, "PNG")
    with pytest.raises(BROKEN_IMAGE):
        Image.open(io.BytesIO(whole.getvalue()[:kept])).load()


def test_a_image_that_would_fill_the_memory_raises_what_is_caught(monkeypatch):
    whole = io.BytesIO()
    Image.new("L", (60, 60)).save(whole, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BROKEN_IMAGE):
        Image.open(whole)
