"""Rows read from an index are those of the data, encoded and counted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ndino.train.rows.index import open_index
from tests.train.conftest import ROWS


def test_it_holds_every_row_as_it_will_be_trained_on(made, data, built):
    index = open_index(made())
    assert len(index) == len(index.lengths) == len(index.supervised) == ROWS and index.rejects == ()
    assert index.lengths.dtype == index.supervised.dtype == np.int32
    for position, line in enumerate(data.read_text().splitlines()):
        row, record = index[position], json.loads(line)
        assert (row.row, row.images) == (position + 1, (record["image"],))
        with Image.open(data.parent / "images" / record["image"]) as image:
            assert row.sizes == ((image.height, image.width),)
        assert row.length == index.lengths[position] == len(row.input_ids) - 1 + row.image_tokens[0]
        assert row.supervised == index.supervised[position] == (row.labels[1:] >= 0).sum()
        answer = record["conversations"][1]["value"]
        assert built[1].tokenizer.decode(row.labels[row.labels >= 0]).endswith(f"{answer}<|eot_id|>")
    with pytest.raises(IndexError):
        index[ROWS]
