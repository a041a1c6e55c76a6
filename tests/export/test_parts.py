"""The writer of weights, the grids' notations, and the model card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from ndino.export import ConversionError, convert
from ndino.export.checkpoint import Checkpoint
from ndino.export.settings import grid_pinpoints
from ndino.export.writer import write_safetensors

SIDES = st.integers(1, 6)
GRIDS = st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
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
def test_what_is_written_is_what_the_library_reads(tmp_path_factory, tensors, cut):
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
        (torch.ones(2), "8 bytes where 12"),
        (torch.ones(3).half(), "came as torch.float16"),
    ):
        with pytest.raises(ValueError, match=message):
            list(write_safetensors(tmp_path / "x", layout, [[value]]))


def pinpoints_of(value, side: int = 14) -> list[tuple[int, int]]:
    return grid_pinpoints(Checkpoint(Path("src"), {"image_grid_pinpoints": value}, {}), side)


@given(grids=GRIDS)
def test_grids_read_the_same_in_every_notation(grids):
    pixels = [(w * 14, h * 14) for w, h in grids]
    lists = [list(pair) for pair in pixels]
    assert pinpoints_of(lists) == pixels
    assert pinpoints_of(str(pixels)) == pinpoints_of(str(lists)) == pinpoints_of(json.dumps(lists)) == pixels


@given(first=st.tuples(SIDES, SIDES), more=st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_a_range_of_tiles(first, more):
    last = (first[0] + more[0], first[1] + more[1])
    found = pinpoints_of(f"({first[0]}x{first[1]}),...,({last[0]}x{last[1]})")
    assert len(found) == len(set(found)) == (more[0] + 1) * (more[1] + 1)
    assert found[0] == (first[0] * 14, first[1] * 14) and found[-1] == (last[0] * 14, last[1] * 14)
    assert found == sorted(found)


@given(text=st.text(max_size=30))
def test_any_other_text_is_refused(text):
    with pytest.raises(ConversionError, match="image_grid_pinpoints"):
        pinpoints_of(text)


def test_the_card_names_what_the_run_was(tmp_path, copied):
    manifest = {
        "recipe": {"name": "it", "prompt": "llama3"},
        "data": {"file": "it.jsonl", "sha256": "abc123"},
        "start": {"model": "fed987"},
        "commit": "0123456789",
        "upstream": {"LLaVA-NeXT": "c121c20"},
        "versions": {"transformers": "4.45.2"},
        "steps": 500,
        "loss_curve": [[1, 2.0]],
    }
    (copied / "manifest.json").write_text(json.dumps(manifest))
    card = (convert(copied, tmp_path / "mlp-it" / "model") / "README.md").read_text()
    for value in (
        "# mlp-it",
        "`it`",
        "`it.jsonl`",
        "`abc123`",
        "`fed987`",
        "`0123456789`",
        "`c121c20`",
        "`500`",
    ):
        assert value in card
    assert str(tmp_path) not in card
    bare = tmp_path / "other" / "manifest.json"
    bare.parent.mkdir()
    bare.write_text("{}")
    card = (convert(copied, tmp_path / "named", manifest=bare) / "README.md").read_text()
    assert "# named" in card and "without a manifest" in card


def test_the_manifest_of_the_folder_above_is_found(tmp_path, copied):
    (copied.parent / "manifest.json").write_text('{"recipe": {"name": "long", "prompt": "llama3"}}')
    assert "`long`" in (convert(copied, tmp_path / "dst") / "README.md").read_text()
