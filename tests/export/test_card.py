"""The model card, from the manifest of the run."""

from __future__ import annotations

import json

from ndino.export.converter import convert
from tests.export.refusals import refusal


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
    assert "# named" in card and "no manifest of its" in card


def test_the_manifest_of_the_folder_above_is_found(tmp_path, copied):
    (copied.parent / "manifest.json").write_text('{"recipe": {"name": "long", "prompt": "llama3"}}')
    assert "`long`" in (convert(copied, tmp_path / "dst") / "README.md").read_text()


def test_a_manifest_that_is_not_there(copied, tmp_path):
    assert "no.json: no such file" in refusal(copied, manifest=tmp_path / "no.json")
