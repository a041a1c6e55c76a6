"""Scoring with COMET, in its own environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ndino.data.errors import DataError
from ndino.data.translation.engines import environments
from ndino.data.translation.quality.comet_scorer import PINS, Comet

ASKED = "NDINO_TEST_CONVERT"
ROOT = Path(__file__).parents[4]


@pytest.fixture
def environment() -> Path:
    """COMET's environment, where it is there or asked for: pip fetches it."""
    if not environments.environment_folder("comet", PINS).is_dir() and not os.environ.get(ASKED):
        pytest.skip(f"the environment of COMET is not there ({ASKED}=1 makes it)")
    return environments.make_environment("comet", PINS)


def test_scores_are_those_of_the_model_in_order(environment: Path, tmp_path: Path) -> None:
    command = [environment, ROOT / "fixtures" / "comet_model.py", tmp_path / "kiwi"]
    subprocess.run(command, check=True, capture_output=True)
    comet = Comet(tmp_path / "kiwi")
    pairs = {"The sky is blue.": "Il cielo è blu.", "How many dogs?": "Quanti cani?", "a": "un"}
    scores = comet.score(list(pairs), list(pairs.values()))
    assert len(set(scores)) > 1
    assert comet.score(list(pairs)[::-1], list(pairs.values())[::-1]) == scores[::-1]
    assert comet.score(["a"], ["un"]) == pytest.approx(scores[-1:], abs=0.001)
    assert "unified_metric" in comet.identity


@pytest.mark.parametrize(
    ("hparams", "said"),
    [
        (None, "no hparams.yaml, so not a COMET model"),
        ("class_identifier: regression_metric", "'regression_metric', which needs reference translations"),
        ("- a list", "names no class_identifier"),
    ],
)
def test_a_folder_that_is_no_model_for_it_is_refused(tmp_path: Path, hparams: str | None, said: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.ckpt").write_bytes(b"")
    if hparams is not None:
        (tmp_path / "hparams.yaml").write_text(hparams)
    with pytest.raises(DataError, match=f"{said}.*remedy: "):
        Comet(tmp_path)


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.ckpt").write_bytes(b"torn")
    (tmp_path / "hparams.yaml").write_text("class_identifier: unified_metric")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")  # as COMET's process ends
    python.chmod(0o755)
    monkeypatch.setattr(environments, "make_environment", lambda name, pins: python)
    with pytest.raises(DataError, match=r"COMET failed, see above \(remedy: "):
        Comet(tmp_path).score(["a"], ["un"])
