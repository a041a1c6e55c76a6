"""The command ``ndino train``."""

from __future__ import annotations

from tests.commands import train as main
from tests.train.conftest import ROOT


def test_command_line_trains_and_names_what_is_missing(stage, backbones, rows, tmp_path, capsys):
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
    assert main([*arguments, *start]) == 0
    assert (stage.out / "model" / "config.json").exists()
    overrides.write_text("mlp:\n  learning_rat: 1.0\n")
    assert main([*arguments, *start]) == 1
    assert "learning_rat: unknown field" in capsys.readouterr().err
