"""Whatever is wrong in a checkpoint's settings is one line, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fixtures.upstream_checkpoint import write_checkpoint, write_tower
from ndino.export import converter
from ndino.export.converter import convert
from ndino.export.errors import ConversionError

WRONG = [..., None, "x", -1, 0, 1.5, [], {}]


@pytest.fixture
def unwritten(monkeypatch):
    """Conversion without its weights, which are the same however the settings are spoilt."""
    monkeypatch.setattr(converter, "_write_weights", lambda *_, **__: None)


@pytest.mark.usefixtures("unwritten")
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "tower", "preprocessor"])
def test_a_field_that_is_missing_or_wrong_is_refused_in_one_line_or_does_no_harm(tmp_path, file):
    tower = write_tower(tmp_path / "tower")
    src = write_checkpoint(tmp_path / "src", tower)
    others = {"tower": tower / "config.json", "preprocessor": tower / "preprocessor_config.json"}
    path = others.get(file, src / file)
    whole = json.loads(path.read_text())
    refused = 0
    for number, field in enumerate(whole):
        # Every wrong value for each field would take minutes.
        for value in (WRONG[number % len(WRONG)], WRONG[(number + 3) % len(WRONG)]):
            spoilt = {**whole, field: value}
            path.write_text(json.dumps({key: each for key, each in spoilt.items() if each is not ...}))
            refused += outcome(src, tmp_path / "dst")
            shutil.rmtree(tmp_path / "dst", ignore_errors=True)
    assert refused


def outcome(src: Path, dst: Path) -> bool:
    """Whether a conversion is refused; any other error than ours fails the test."""
    try:
        convert(src, dst, quiet=True)
    except ConversionError as error:
        assert "\n" not in str(error) and "(remedy: " in str(error) and str(src.parent) in str(error)
        assert not dst.exists() and not dst.with_name(f"{dst.name}.partial").exists()
        return True
    return False
