"""``ndino language``: write a new language's file, and check one."""

from __future__ import annotations

import argparse

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser
from ndino.languages import language as languages
from ndino.languages.known.tool_codes import listed_code, need_code

HELP = """
Add a language: everything that the kit knows of one is in the file ndino/languages/CODE.yaml.

docs/languages.md shows how it is done.
"""
EXAMPLES = ("ndino language new eu", "ndino language check eu")


def add_arguments(parser: CommandParser) -> None:
    """Add the subcommands ``new`` and ``check``."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    new = commands.add_parser(
        "new",
        help="write a language's file, filled in as far as libraries know it",
        description="Write ndino/languages/CODE.yaml with all that libraries know of the language. What is "
        "left is marked TODO, in English, to be translated.",
        examples=["ndino language new eu"],
    )
    new.set_defaults(run=_new)
    check = commands.add_parser(
        "check",
        help="say what a language's file lacks, what contradicts itself in it, and what works",
        description="Check ndino/languages/CODE.yaml: what is missing and what does not work without it, "
        "what contradicts itself, whether answers made of its words are read as they should be, which "
        "published data and tools the language has, and what is ready. Exits with 1 if anything is wrong; "
        "that something is missing is not wrong.",
        examples=["ndino language check es"],
    )
    check.set_defaults(run=_check)
    for command in (new, check):
        command.add_argument("code", metavar="CODE", help="the language's code by BCP 47, such as es")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand, which has set ``args.run``."""
    return args.run(args)


def _new(args: argparse.Namespace) -> int:
    from ndino.languages.adding.new import write_new

    path = write_new(need_code(args.code))
    print(f"{path}: translate what is marked TODO, then run ndino language check {args.code}")
    if (whole := listed_code(args.code)) != args.code and whole in languages.codes():
        print(f"A copy of {path.with_stem(whole)} is a shorter way: it is the same language")
    return 0


def _check(args: argparse.Namespace) -> int:
    from ndino.languages.adding.readiness import readiness_of
    from ndino.languages.adding.report import report_lines

    code = need_code(args.code)
    if code not in languages.codes():
        raise UsageError(
            f"language {code!r}: no file, only {', '.join(languages.codes())} "
            f"(remedy: ndino language new {code})"
        )
    found = readiness_of(code)
    print("\n".join(report_lines(found)))
    return 0 if found.is_usable else 1
