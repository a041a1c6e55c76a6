from __future__ import annotations

import pytest

from ndino.formats.image_tokens import token_repeats, widen_image_tokens

IMAGE = 9


def test_each_image_token_is_repeated_once_for_every_feature_of_its_own_image():
    assert widen_image_tokens([1, IMAGE, 2, IMAGE], IMAGE, [3, 2]) == [1, 9, 9, 9, 2, 9, 9]
    assert token_repeats([1, IMAGE, 2, IMAGE], IMAGE, [3, 2]) == [1, 3, 1, 2]


def test_text_alone_is_unchanged():
    assert widen_image_tokens((1, 2, 3), IMAGE, []) == [1, 2, 3]


def test_images_that_truncation_removed_are_ignored():
    assert widen_image_tokens([1, IMAGE], IMAGE, iter([2, 5])) == [1, 9, 9]


def test_an_image_token_without_an_image_is_an_error():
    with pytest.raises(ValueError, match="2 image tokens but fewer images"):
        token_repeats([IMAGE, IMAGE], IMAGE, [4])
