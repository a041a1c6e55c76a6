"""The options of the commands that translate."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser
from ndino.data.errors import DataError
from ndino.data.translation import (
    add_quality_arguments,
    add_translation_arguments,
    open_translation,
    translation_identity,
)


def arguments(*given: str, **more: object) -> argparse.Namespace:
    parser = CommandParser()
    for name in more:
        parser.add_argument(f"--{name}", default=more[name])
    add_translation_arguments(parser)
    return parser.parse_args(given)


@pytest.mark.parametrize("translator", ["madlad", "transformers"])
def test_a_translation_is_stored_in_the_memory(
    madlad_folder: Path, converted_folder: Path, tmp_path: Path, translator: str
) -> None:
    folder = converted_folder if translator == "madlad" else madlad_folder
    args = arguments("--translator", translator, "--translator-model", str(folder))
    with open_translation(args, tmp_path / "memory.sqlite") as translation:
        assert translation.identity == translation_identity(args)
        found = translation.translate(["How many dogs?", "", "How many dogs?"])
        assert found[0] == found[2]
        assert translation.counts["translated"] == 1
    with open_translation(args, tmp_path / "memory.sqlite") as translation:
        assert translation.translate(["How many dogs?"]) == found[:1]
        assert translation.counts["translated"] == 0


def test_the_identity_depends_on_languages_and_model(madlad_folder: Path, converted_folder: Path) -> None:
    by_model = ["--translator", "madlad", "--translator-model", str(converted_folder)]
    papers = ["--translator", "transformers", "--translator-model", str(madlad_folder)]
    other = [*by_model, "--lang", "es"]
    made = {translation_identity(arguments(*given)) for given in (by_model, papers, other)}
    assert len(made) == 3
    with pytest.raises(DataError, match="not know the language 'xx'"):
        translation_identity(arguments(*by_model, "--lang", "xx"))


def test_a_command_keeps_its_own_language_option() -> None:
    assert arguments().lang == "it"
    assert arguments(lang="de").lang == "de"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--lang", "en"], r"--lang en: the texts are in this language already"),
        (["--lang", "it", "--from-lang", "it"], r"--lang it: the texts are in this language already"),
        (["--translator-model", "x"], r"--translator-model: not used by --translator apertium"),
        (["--translator-url", "http://h/v1"], r"--translator-url: not used by --translator apertium"),
        (["--translator-requests", "64"], r"--translator-requests: not used by --translator apertium"),
        (
            ["--translator", "madlad", "--translator-model", "x", "--translator-url", "http://h/v1"],
            r"--translator-url: not used by --translator madlad",
        ),
        (
            ["--translator", "llm", "--translator-model", "x", "--translator-requests", "2"],
            r"--translator-requests: not used by --translator llm",
        ),
        (["--quality-model", "x"], r"--quality-model: used by --quality comet only"),
        (["--quality", "back-translation", "--quality-model", "x"], r"--quality-model: used by"),
    ],
)
def test_what_would_have_no_effect_is_refused(given: list[str], said: str) -> None:
    parser = CommandParser()
    add_translation_arguments(parser)
    add_quality_arguments(parser)
    with pytest.raises(UsageError, match=said + r".*\(remedy: "):
        translation_identity(parser.parse_args(given))


def test_a_missing_model_option_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--translator-model.*translation\.md"):
        open_translation(arguments("--translator", "madlad"), tmp_path / "memory.sqlite")
    assert not (tmp_path / "memory.sqlite").exists()


@pytest.mark.system
@pytest.mark.skipif(shutil.which("apertium") is None, reason="needs Apertium (Debian package apertium)")
def test_apertium_is_the_default(tmp_path: Path) -> None:
    args = arguments()
    with open_translation(args, tmp_path / "memory.sqlite") as translation:
        (found,) = translation.translate(["  How many dogs are in the house? "])
    assert found.text == "  Quanti cani sono nella casa? "


def test_the_options_load_no_model_library() -> None:
    code = (
        "import sys, ndino.data.translation\n"
        "print([name for name in ('torch', 'transformers', 'ctranslate2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
