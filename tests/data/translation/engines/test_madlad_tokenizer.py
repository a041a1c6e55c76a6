"""The tokens of a MADLAD model."""

from __future__ import annotations

from pathlib import Path

import pytest

from ndino.data.errors import DataError
from ndino.data.translation.engines.madlad_tokenizer import END, MadladTokenizer, limit_of


@pytest.fixture(scope="module")
def tokenizer(madlad_folder: Path) -> MadladTokenizer:
    return MadladTokenizer(madlad_folder, "it")


def test_a_source_begins_with_the_language_and_ends_with_the_end_token(tokenizer: MadladTokenizer) -> None:
    tokens = tokenizer.encode("The car is red.")
    assert "<2it>" in tokens[:2] and tokens[-1] == END
    assert tokenizer.decode(tokens).removeprefix("<2it>").strip() == "The car is red."


def test_ids_are_those_of_the_tokens(tokenizer: MadladTokenizer) -> None:
    ids = tokenizer.encode_ids("two dogs")
    assert len(ids) == len(tokenizer.encode("two dogs"))
    assert tokenizer.decode_ids(ids) == tokenizer.decode(tokenizer.encode("two dogs"))


def test_special_ids_and_those_of_the_padded_embeddings_are_left_out(tokenizer: MadladTokenizer) -> None:
    ids = tokenizer.encode_ids("two dogs")
    size = tokenizer._pieces.vocab_size()
    assert tokenizer.decode_ids([0, 1, *ids, 2, size, size + 7]) == tokenizer.decode_ids(ids)


def test_a_missing_model_and_an_unknown_language_are_named(madlad_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no spiece\.model, .*remedy"):
        MadladTokenizer(tmp_path, "it")
    with pytest.raises(DataError, match=r"not know the language 'xx' \(remedy"):
        MadladTokenizer(madlad_folder, "xx")


def test_a_translation_may_be_three_times_as_long_and_a_little_more() -> None:
    assert (limit_of(0), limit_of(100)) == (16, 316)
