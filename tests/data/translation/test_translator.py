"""The result for one text, and which translators retry."""

from __future__ import annotations

import pytest

from ndino.data.translation.engines.madlad import Madlad
from ndino.data.translation.engines.transformers_madlad import TransformersMadlad
from ndino.data.translation.translator import RetryingTranslator, Translated


def test_a_result_is_a_text_or_a_reason() -> None:
    assert Translated("").text == "" and Translated(None, "looping translation").reason
    for both_or_none in ((None, None), ("a", "b")):
        with pytest.raises(ValueError, match="either"):
            Translated(*both_or_none)


def test_only_madlad_has_settings_of_its_own_for_rejected_texts() -> None:
    assert issubclass(Madlad, RetryingTranslator)
    assert not issubclass(TransformersMadlad, RetryingTranslator)
