from __future__ import annotations

import io

import pytest
from PIL import Image

from ndino.common.images import BROKEN_IMAGE, MAX_IMAGE_PIXELS, image_digest, pixel_digest

RED = Image.new("RGB", (4, 6), "red")


@pytest.mark.parametrize("kept", [0, 20, 60, -200])
def test_a_truncated_image_raises_what_is_caught(kept):
    whole = io.BytesIO()
    Image.effect_noise((60, 60), 50).save(whole, "PNG")
    with pytest.raises(BROKEN_IMAGE):
        Image.open(io.BytesIO(whole.getvalue()[:kept])).load()


def test_a_decompression_bomb_raises_what_is_caught(monkeypatch):
    whole = io.BytesIO()
    Image.new("L", (60, 60)).save(whole, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BROKEN_IMAGE):
        Image.open(whole)


def test_digests_and_limit_keep_the_values_that_stored_answers_were_keyed_with():
    assert image_digest(b"the content of a file") == "eff85008fa7a6cbb0a84792641c0022c"
    assert pixel_digest(RED) == "016fe8e112475e3db708cddca2d8fa15"
    assert MAX_IMAGE_PIXELS == 933_120_000


def test_pixels_decide_whatever_the_file_and_so_do_mode_and_size():
    encoded = io.BytesIO()
    RED.save(encoded, "PNG")
    assert pixel_digest(Image.open(encoded)) == pixel_digest(RED)
    assert len({pixel_digest(image) for image in (RED, RED.resize((6, 4)), RED.convert("L"))}) == 3
    assert image_digest(encoded.getvalue()) != image_digest(encoded.getvalue() + b"\0")
