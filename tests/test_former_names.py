"""Names of options and commands that changed: the former ones work, with a notice, until they go away."""

from __future__ import annotations

import pytest

from ndino.cli import main
from ndino.common.options import OTHER_NAMES
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


# Names that options had in another command or version, or have in other programs.
PLAUSIBLE = [
    ("train r.yaml --out o --images-dir i", "--images-dir", "--images"),
    ("train r.yaml --output-dir o", "--output-dir", "--out"),
    ("train r.yaml --out o --llm m --vision-tower v", "--llm", "--language-model"),
    ("data check d --images-dir i", "--images-dir", "--images"),
    ("data check d --image-folder=i", "--image-folder", "--images"),
    ("data lcs j --images-dir i --out o", "--images-dir", "--images"),
    ("data conversations j --image_folder i --out o", "--image_folder", "--images"),
    ("data mix pt --folder f --out o", "--folder", "--folders"),
    ("data wit t --language it --out o", "--language", "--lang"),
    ("data cauldron --max-samples 3 --out o", "--max-samples", "--limit"),
    ("perplexity --model m --data d --image-folder i", "--image-folder", "--images"),
    ("evaluate --model m --task pope-it", "--task", "--tasks"),
    ("evaluate --pretrained m", "--pretrained", "--model"),
    ("evaluate --model m --batch_size 3", "--batch_size", "--batch"),
    ("compare r --model A", "--model", "--models"),
    ("report r --titel x", "--titel", "--title"),
    ("convert a b --tower t", "--tower", "--vision-tower"),
    ("cluster check r --out o --image-dir i --nodes 1 --gpus 1", "--image-dir", "--images"),
]


@pytest.mark.parametrize(("command", "given", "name"), PLAUSIBLE)
def test_a_plausible_name_is_refused_with_the_right_one(command, given, name, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    words = command.split()
    program = " ".join(words[: 2 if words[0] in ("data", "cluster") else 1])
    assert capsys.readouterr().err == f"ndino {program}: unknown option {given} (remedy: {name})\n"


@pytest.mark.parametrize("program", sorted(PARSERS))
def test_another_name_of_an_option_is_none_of_its_own(program, capsys):
    made = PARSERS[program]
    if made._subparsers is not None:
        return
    known = set(made._option_string_actions)
    for name in known & set(OTHER_NAMES):
        for other in set(OTHER_NAMES[name]) - known - set(made._former_names):
            with pytest.raises(SystemExit):
                made.parse_args([other, "x"])
            said = capsys.readouterr().err
            assert said.startswith(f"{program}: unknown option {other} (remedy: --"), said


def test_the_former_commands_of_results(capsys, tmp_path):
    assert main(["results", "report", str(tmp_path / "nowhere")]) == 2
    notice, error = capsys.readouterr().err.splitlines()
    assert notice == "ndino: ndino results report is now ndino report; the old name goes away in 0.3"
    assert error.startswith("ndino report: ")
