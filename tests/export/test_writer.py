"""Writing safetensors files a tensor at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from ndino.export.writer import write_safetensors
from tests.properties import examples


@examples(60)
@given(
    tensors=st.lists(
        st.tuples(
            st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
            st.lists(st.integers(0, 5), min_size=1, max_size=3),
        ),
        max_size=6,
    ),
    cut=st.integers(0, 5),
)
def test_the_library_reads_what_was_written(tmp_path_factory, tensors, cut):
    path = tmp_path_factory.mktemp("written") / "model.safetensors"
    wanted = {f"weight.{i}.é": torch.randn(shape).to(dtype) for i, (dtype, shape) in enumerate(tensors)}
    layout = {name: (tuple(value.shape), value.dtype) for name, value in wanted.items()}
    pieces = ([value[:cut], value[cut:]] for value in wanted.values())
    written = sum(write_safetensors(path, layout, pieces))
    assert written == sum(value.nbytes for value in wanted.values())
    found = load_file(path)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value)


def test_large_tensors_are_written_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("ndino.export.writer.CHUNK_BYTES", 1000)
    value = torch.randn(100, 33).T  # not contiguous
    steps = list(write_safetensors(tmp_path / "x", {"x": ((33, 100), torch.float32)}, [[value]]))
    assert len(steps) == 14 and torch.equal(load_file(tmp_path / "x")["x"], value)


def test_a_tensor_of_another_size_or_type_is_refused(tmp_path):
    layout = {"x": ((3,), torch.float32)}
    for value, message in (
        (torch.ones(2), "8 bytes, not 12"),
        (torch.ones(3).half(), "has dtype torch.float16, not torch.float32"),
    ):
        with pytest.raises(ValueError, match=message):
            list(write_safetensors(tmp_path / "x", layout, [[value]]))
