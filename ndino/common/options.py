"""What the options of all commands share: help with examples, former names, types, paths that must exist."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError, printable
from ndino.common.files import nearest_existing

REMOVED_IN = "0.3"
HELP_WIDTH = 100
# What an option is called elsewhere, or was called here: an error then names ours.
OTHER_NAMES = {
    "--images": (
        "--images-dir",
        "--images-folder",
        "--image-folder",
        "--image-dir",
        "--image-path",
        "--image",
    ),
    "--out": ("--output", "--output-dir", "--output-path", "--out-dir", "--output-file"),
    "--lang": ("--language", "--target-lang", "--to-lang", "--to"),
    "--from-lang": ("--from", "--source-lang"),
    "--folders": ("--from", "--folder", "--data", "--inputs"),
    "--source": ("--data", "--input", "--repository"),
    "--limit": ("--max-samples", "--num-samples", "--samples", "--first", "--max-rows"),
    "--batch": ("--batch-size", "--per-device-batch"),
    "--model": ("--models", "--model-path", "--pretrained", "--checkpoint"),
    "--models": ("--model",),
    "--data": ("--data-path", "--data-dir", "--dataset", "--data-folder", "--answers"),
    "--tasks": ("--task", "--benchmarks"),
    "--endpoint": ("--url", "--base-url", "--api-base", "--server"),
    "--only": ("--tasks", "--task", "--benchmarks"),
    "--shuffle": ("--shuffled", "--shuffle-images"),
    "--workers": ("--jobs", "--num-workers", "--processes"),
    "--container": ("--image", "--sif"),
    "--overrides": ("--override", "--config"),
    "--language-model": ("--llm", "--lm", "--backbone"),
    "--vision-tower": ("--tower", "--clip", "--vision-model"),
}


class CommandParser(argparse.ArgumentParser):
    """A parser whose help ends with examples and whose errors are one line; so are those of its subcommands.

    Args:
        description: paragraphs; the indented ones keep their line breaks.
        examples: complete command lines.

    The parsed arguments have the command's whole name, such as ``ndino data check``, as ``program``.
    """

    def __init__(self, *, description: str = "", examples: Sequence[str] = (), **settings: Any) -> None:
        self.examples = tuple(examples)
        self._former_names: dict[str, str] = {}
        heading = "Example:" if len(self.examples) == 1 else "Examples:"
        super().__init__(
            description=_wrapped(description),
            epilog="\n".join([heading, *map(_broken, self.examples)]) if self.examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            # With abbreviations `--image` would mean `--images`, and every new option could break a script.
            allow_abbrev=False,
            **settings,
        )

    def keep_former_name(self, former: str, name: str) -> None:
        """Accept the option ``name`` under its ``former`` name too, with a notice; the help leaves it out."""
        self._former_names[former] = name

    def parse_known_args(self, args=None, namespace=None):
        # Here rather than as an alias of the option: a required option is then found under either name.
        arguments = [self._renamed(text) for text in (sys.argv[1:] if args is None else args)]
        if self._subparsers is None:
            self._refuse_unknown(arguments)
        found, rest = super().parse_known_args(arguments, namespace)
        if not hasattr(found, "program"):  # a subcommand's parser comes first, and its name is the whole one
            found.program = self.prog
        return found, rest

    def error(self, message: str):
        """Say what is wrong with the command line in one line, and exit with 2."""
        self.exit(2, f"{self.prog}: {printable(message)} (remedy: see {self.prog} --help)\n")

    def _refuse_unknown(self, arguments: Sequence[str]) -> None:
        # Before argparse, which would first miss the required option that was given under another name.
        for argument in arguments[: arguments.index("--")] if "--" in arguments else arguments:
            name = argument.partition("=")[0]
            if name.startswith("--") and " " not in name and name not in self._option_string_actions:
                self.exit(2, f"{self.prog}: unknown option {name} (remedy: {self._meant_by(name)})\n")

    def _meant_by(self, option: str) -> str:
        known = [name for name in self._option_string_actions if name.startswith("--")]
        spelled = option.replace("_", "-").lower()
        meant = [name for name in known if spelled == name or spelled in OTHER_NAMES.get(name, ())]
        close = meant[:1] or difflib.get_close_matches(spelled, known, n=1, cutoff=0.75)
        return close[0] if close else f"see {self.prog} --help"

    def _renamed(self, argument: str) -> str:
        former, equals, value = argument.partition("=")
        name = self._former_names.get(former)
        if name is None:
            return argument
        print(f"{self.prog}: {former} is now {name}; the old name goes away in {REMOVED_IN}", file=sys.stderr)
        return name + equals + value


def _wrapped(text: str) -> str:
    paragraphs = textwrap.dedent(text).strip().split("\n\n")
    return "\n\n".join(
        paragraph
        if "\n  " in paragraph or paragraph.startswith(" ")
        else textwrap.fill(paragraph, HELP_WIDTH)
        for paragraph in paragraphs
    )


def _broken(example: str) -> str:
    first, *options = re.split(r" (?=--)", example)
    lines = [f"  {first}"]
    for option in options:
        if len(lines[-1]) + 1 + len(option) <= HELP_WIDTH:
            lines[-1] += f" {option}"
        else:
            lines.append(f"      {option}")
    return " \\\n".join(lines)


def positive(text: str) -> int:
    """The type of an option that takes a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def comma_separated(text: str) -> list[str]:
    """The type of an option that takes names; blanks around the commas do no harm."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return names


def language_codes(text: str) -> list[str]:
    """The type of an option that takes codes of languages, between commas or blanks, each once."""
    codes = comma_separated(text.replace(" ", ","))
    if twice := sorted({code for code in codes if codes.count(code) > 1}):
        raise argparse.ArgumentTypeError(f"{text!r} names {twice[0]} twice")
    return codes


def need_file(path: Path, remedy: str) -> Path:
    """``path``, which the command line names.

    Raises:
        UsageError: it is no file.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file (remedy: {remedy})")
    return path


def need_folder(path: Path, remedy: str) -> Path:
    """``path``, which the command line names.

    Raises:
        UsageError: it is no folder.
    """
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder (remedy: {remedy})")
    return path


def need_no_file(path: Path) -> Path:
    """``path``, which becomes a folder, or is one.

    Raises:
        UsageError: it, or what it would be in, is something else.
    """
    there = nearest_existing(path)
    if not there.is_dir():
        raise UsageError(f"{there}: is a file, not a folder (remedy: name a folder that may be written)")
    return path
