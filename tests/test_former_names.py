"""Names of options and commands that changed: the former ones work, with a notice, until they go away."""

from __future__ import annotations

import pytest

from ndino.cli import main
from tests.test_cli import PARSERS, parse

FORMER = [
    ("train r.yaml --out o --image-folder i", "train", "--image-folder", "--images"),
    ("perplexity --model m --data d --images-dir i", "perplexity", "--images-dir", "--images"),
    ("data mix pt --from f --out o", "data mix", "--from", "--folders"),
    ("data cauldron --from en --out o", "data cauldron", "--from", "--from-lang"),
    ("data conversations j --images i --from en --out o", "data conversations", "--from", "--from-lang"),
    ("data benchmarks --from en --out o", "data benchmarks", "--from", "--from-lang"),
    ("cluster gpus --nodes 1 --gpus 1 --image i", "cluster gpus", "--image", "--container"),
    (
        "cluster outcome r.yaml --out o --image-folder i",
        "cluster outcome",
        "--image-folder",
        "--images",
    ),
]


@pytest.mark.parametrize(("command", "program", "former", "name"), FORMER)
def test_a_former_name_means_the_same_and_says_so(command, program, former, name, capsys):
    _, args = parse(f"ndino {command}")
    said = capsys.readouterr().err
    assert said == f"ndino {program}: {former} is now {name}; the old name goes away in 0.3\n"
    assert args == parse(f"ndino {command.replace(f'{former} ', f'{name} ')}")[1]
    assert f"{former} " not in PARSERS[f"ndino {program}"].format_help().replace(f"{former}-lang", "")


def test_the_former_commands_of_results(capsys, tmp_path):
    assert main(["results", "report", str(tmp_path / "nowhere")]) == 2
    notice, error = capsys.readouterr().err.splitlines()
    assert notice == "ndino: ndino results report is now ndino report; the old name goes away in 0.3"
    assert error.startswith("ndino report: ")
