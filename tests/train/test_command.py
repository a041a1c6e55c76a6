"""The command ``ndino train``."""

from __future__ import annotations

import time

import pytest

from ndino.common.locks import exclusive_lock
from ndino.results.live import live_stages
from tests.commands import train as main
from tests.train.conftest import ROOT


def test_command_line_trains_and_names_what_is_missing(stage, backbones, rows, tmp_path, capsys, monkeypatch):
    overrides = tmp_path / "tiny.yaml"
    overrides.write_text(
        (ROOT / "miniature" / "recipes.yaml")
        .read_text()
        .replace("max_steps: 200", "max_steps: 2")
        .replace("batch: 16", "batch: 12")  # as many as there are rows
    )
    arguments = [
        str(ROOT / "launch/recipes/mlp.yaml"),
        "--overrides",
        str(overrides),
        "--out",
        str(stage.out),
    ]
    arguments += ["--data", str(rows / "rows.jsonl"), "--images", str(rows / "images")]
    other = tmp_path / "other.jsonl"
    other.write_text((rows / "rows.jsonl").read_text() + "\n")
    start = ["--language-model", str(backbones.language_model), "--vision-tower", str(backbones.vision_tower)]
    assert main(arguments) == 2
    assert "give either --model or --language-model" in capsys.readouterr().err
    assert main([*arguments, "--model", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
    # The recipe's own data and images are checked as those of the command line are.
    assert main([*arguments[:5], *start]) == 2
    assert "data/mlp/data.jsonl: no such file (remedy: name a LLaVA .json" in capsys.readouterr().err
    assert main([*arguments[:7], *start]) == 2
    assert "no such folder (remedy: name the folder of the images" in capsys.readouterr().err
    assert not stage.out.exists()
    # A run that another process trains, and a refused start that leaves the folder to the corrected one.
    stage.out.mkdir()
    with exclusive_lock(stage.out / ".lock", "busy"):
        assert main([*arguments, *start]) == 1
        assert f"{stage.out}: another process is at work in it (remedy: " in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main([*arguments[:4], str(tmp_path / "file"), *arguments[5:], *start]) == 2
    assert "file: is a file, not a folder (remedy: " in capsys.readouterr().err
    tiny = overrides.read_text()
    overrides.write_text(tiny.replace("mlp:\n", "mlp:\n  max_length: 5\n"))
    assert main([*arguments, *start]) == 1
    assert "no usable row" in capsys.readouterr().err
    assert not (stage.out / "run.json").exists()
    overrides.write_text(tiny)
    assert main([*arguments, *start]) == 0
    assert (stage.out / "model" / "config.json").exists()
    assert main([*arguments[:-4], "--data", str(other), *arguments[-2:], *start]) == 1
    refusal = capsys.readouterr().err
    assert "another data (rows.jsonl with sha256 " in refusal and ", now other.jsonl with sha256 " in refusal
    overrides.write_text(tiny.replace("mlp:\n", "mlp:\n  max_length: 777\n"))
    with monkeypatch.context() as no_engine:
        no_engine.setattr(
            "ndino.train.command.import_module", lambda name: pytest.fail("an engine was loaded")
        )
        assert main([*arguments, *start]) == 1
    assert "now 777" in capsys.readouterr().err
    # A failure of training is kept for the page, a refused command changes no file.
    assert not (stage.out / "failure.json").exists()
    overrides.write_text(tiny.replace("learning_rate: 4.0e-3", "learning_rate: 1.0e-30"))
    assert main([*arguments[:4], str(tmp_path / "still"), *arguments[5:], *start]) == 1
    said = capsys.readouterr().err
    assert "no weight differs from the start" in said
    assert (
        live_stages(tmp_path / "still", now=time.time())[0].problem
        == "failed: " + said.strip().partition("ndino train: ")[2]
    )
    overrides.write_text("mlp:\n  learning_rat: 1.0\n")
    assert main([*arguments, *start]) == 1
    assert "learning_rat: unknown field" in capsys.readouterr().err
