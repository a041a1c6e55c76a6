"""What the options of all commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from ndino.common.errors import UsageError
from ndino.common.options import (
    CommandParser,
    comma_separated,
    need_file,
    need_folder,
    need_no_file,
    positive,
)


@pytest.fixture
def parser() -> CommandParser:
    made = CommandParser(
        prog="ndino demo", description="Do it.", examples=["ndino demo --images a", "ndino demo --help"]
    )
    made.add_argument("--images", required=True, type=Path, help="images")
    made.keep_former_name("--images-dir", "--images")
    return made


@pytest.mark.parametrize("given", [["--images-dir", "a"], ["--images-dir=a"]])
def test_a_former_name_works_with_a_notice(parser, given, capsys):
    assert parser.parse_args(given).images == Path("a")
    notice = "ndino demo: --images-dir is now --images; the old name goes away in 0.3\n"
    assert capsys.readouterr().err == notice
    assert parser.parse_args(["--images", "--images-dir-is-a-value"[2:]]).images
    assert capsys.readouterr().err == ""


def test_a_former_name_works_in_a_subcommand(capsys):
    made = CommandParser(prog="ndino demo")
    commands = made.add_subparsers(required=True)
    command = commands.add_parser("mix", examples=["ndino demo mix --folders a b"])
    command.add_argument("--folders", nargs="+")
    command.keep_former_name("--from", "--folders")
    assert made.parse_args(["mix", "--from", "a", "b"]).folders == ["a", "b"]
    assert capsys.readouterr().err.startswith("ndino demo mix: --from is now --folders; ")


def test_the_help_shows_the_examples_and_no_former_name(parser):
    text = parser.format_help()
    assert text.endswith("Examples:\n  ndino demo --images a\n  ndino demo --help\n")
    assert "--images-dir" not in text


def test_long_examples_are_continued_before_an_option():
    made = CommandParser(prog="x", examples=[f"ndino x {'a' * 60} --first {'b' * 30} --second c d"])
    shown = made.format_help().partition("Example:\n")[2]
    assert shown == f"  ndino x {'a' * 60} \\\n      --first {'b' * 30} --second c d\n"


def test_an_option_is_not_abbreviated_but_recognised(parser, capsys):
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--imag", "a"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "ndino demo: unknown option --imag (remedy: --images)\n"


def test_a_wrong_command_line_is_one_line_and_code_2(parser, capsys):
    for wrong in ([], ["--images"], ["--nonsense", "a"], ["--images", "a", "b"]):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(wrong)
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith("ndino demo: ") and said.endswith(" (remedy: see ndino demo --help)\n")
        assert said.count("\n") == 1


def test_numbers_above_0():
    assert positive("12") == 12
    for wrong in ("0", "-1", "1.5", "x", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number above 0"):
            positive(wrong)


@pytest.mark.parametrize("text", ["pope-it, gqa-it", "pope-it,gqa-it,", " pope-it ,, gqa-it"])
def test_blanks_and_extra_commas_name_nothing(text):
    assert comma_separated(text) == ["pope-it", "gqa-it"]
    with pytest.raises(argparse.ArgumentTypeError, match="names nothing"):
        comma_separated(" , ")


def test_a_path_that_must_exist(tmp_path):
    (tmp_path / "a").touch()
    assert need_file(tmp_path / "a", "name one") == tmp_path / "a"
    assert need_folder(tmp_path, "name one") == tmp_path
    with pytest.raises(UsageError, match=rf"^{tmp_path}: no such file \(remedy: name one\)$"):
        need_file(tmp_path, "name one")
    with pytest.raises(UsageError, match=r"/a: no such folder \(remedy: name one\)$"):
        need_folder(tmp_path / "a", "name one")


def test_a_path_that_becomes_a_folder(tmp_path):
    (tmp_path / "a").touch()
    assert need_no_file(tmp_path) == tmp_path
    assert need_no_file(tmp_path / "b" / "c") == tmp_path / "b" / "c"
    for path in (tmp_path / "a", tmp_path / "a" / "b" / "c"):
        with pytest.raises(UsageError, match=rf"^{tmp_path}/a: is a file, not a folder \(remedy: "):
            need_no_file(path)
