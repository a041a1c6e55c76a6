"""What the upstream engine says where its tree is not set up."""

from __future__ import annotations

import pytest

from ndino.llava_next import engine
from ndino.train.stage import StageError
from ndino.upstream import UpstreamError


def test_a_missing_tree_is_named_with_its_remedy(monkeypatch):
    def missing():
        raise UpstreamError("not set up (remedy: make setup LLAVA_NEXT_URL=<clone>)")

    monkeypatch.setattr(engine, "llava_next_folder", missing)
    with pytest.raises(StageError, match="make setup LLAVA_NEXT_URL="):
        engine.find_tree()


def test_a_missing_environment_is_named_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "llava_next_folder", lambda: tmp_path)
    monkeypatch.setattr(engine, "ROOT", tmp_path)
    with pytest.raises(StageError, match="no environment for the upstream trainer"):
        engine.find_tree()
