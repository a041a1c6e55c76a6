"""Converting MADLAD in its own environment, and refusing a wrong result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ndino.data.translation.engines import convert_madlad, environments
from ndino.data.translation.engines.madlad import Madlad
from tests.commands import data
from tests.data.translation.engines.test_madlad import TEXTS

ASKED = "NDINO_TEST_CONVERT"


@pytest.fixture
def environment() -> Path:
    """The environment that converts, where it is there or asked for: pip fetches it."""
    folder = environments.environment_folder("convert", convert_madlad.PINS)
    if not folder.is_dir() and not os.environ.get(ASKED):
        pytest.skip(f"the environment that converts MADLAD is not there ({ASKED}=1 makes it)")
    return environments.make_environment("convert", convert_madlad.PINS)


@pytest.mark.parametrize("quantization", sorted(convert_madlad.TOLERANCES))
def test_a_converted_model_scores_as_the_original(
    environment: Path, madlad_folder: Path, converted_folder: Path, tmp_path: Path, quantization: str
) -> None:
    out = tmp_path / "converted"
    command = [
        "convert-madlad",
        "--model",
        str(madlad_folder),
        "--out",
        str(out),
        "--quantization",
        quantization,
    ]
    assert data(command) == 0
    record = json.loads((out / "conversion.json").read_text())
    assert record["same_tokens"]
    assert record["mean_difference"] <= convert_madlad.TOLERANCES[quantization]
    assert record["versions"]["transformers"] == "4.57.6"
    found = Madlad(out, "it").translate(TEXTS[:4])
    if quantization == "float32":
        assert found == Madlad(converted_folder, "it").translate(TEXTS[:4])


def test_the_environment_holds_the_pins(environment: Path) -> None:
    code = "import transformers, tokenizers; print(transformers.__version__, tokenizers.__version__)"
    done = subprocess.run([environment, "-c", code], capture_output=True, text=True, check=True)
    pins = dict(pin.split("==") for pin in convert_madlad.PINS)
    assert done.stdout.split() == [pins["transformers"], pins["tokenizers"]]


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, **said: object) -> None:
    """In place of the environment's Python: a program that writes a model and says how well it scores."""
    said = {"same_tokens": True, "tokens": 9, "mean_difference": 0.0, "largest_difference": 0.0} | said
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho model > $4/model.bin\necho '{json.dumps(said)}'\n")
    python.chmod(0o755)
    monkeypatch.setattr(environments, "make_environment", lambda name, pins: python)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"mean_difference": 116.5}, "off by 116"),
        ({"mean_difference": float("nan")}, "off by nan"),
        ({"same_tokens": False}, "differently"),
    ],
)
def test_a_result_with_other_scores_is_refused_and_the_old_one_kept(
    madlad_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: dict[str, object],
    reason: str,
) -> None:
    command = ["convert-madlad", "--model", str(madlad_folder), "--out", str(tmp_path / "out")]
    fake(tmp_path, monkeypatch)
    assert data(command) == 0
    before = (tmp_path / "out" / "conversion.json").read_bytes()
    fake(tmp_path, monkeypatch, **said)
    assert data(command) == 1
    error = capsys.readouterr().err
    assert reason in error and "remedy" in error and "Traceback" not in error
    assert (tmp_path / "out" / "conversion.json").read_bytes() == before


def test_a_folder_with_other_content_is_not_overwritten(
    madlad_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("data")
    assert data(["convert-madlad", "--model", str(madlad_folder), "--out", str(tmp_path / "out")]) == 2
    assert "another --out" in capsys.readouterr().err
    assert (tmp_path / "out" / "precious").exists()


def test_an_incomplete_model_is_named(
    madlad_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(madlad_folder, tmp_path / "model")
    (folder / "spiece.model").unlink()
    assert data(["convert-madlad", "--model", str(folder), "--out", str(tmp_path / "out")]) == 1
    assert "spiece.model is missing" in capsys.readouterr().err


def test_an_unreachable_hub_id_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data(["convert-madlad", "--model", "google/none-such", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    said = "ndino data convert-madlad: google/none-such: no such folder, nor on the hub: "
    assert error.startswith(said) and error.count("\n") == 1
