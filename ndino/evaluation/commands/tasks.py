"""``ndino tasks``: write our tasks in a language for lmms-eval's own command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from ndino.common.options import CommandParser, need_no_file

HELP = """
Write our tasks in a language for lmms-eval's own command line; ndino evaluate needs no such files.

The language is one with a file in ndino/languages; Italian's tasks are laid into lmms-eval by make setup.
"""
EXAMPLES = ("ndino tasks es --out tasks_es",)


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("code", metavar="CODE", help="of the language, such as es")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the tasks go")


def run(args: argparse.Namespace) -> int:
    from ndino.evaluation.tasks.framework.templates import write_tasks

    folder = write_tasks(args.code, need_no_file(args.out))
    print(f"{folder}: python -m lmms_eval --include_path {folder} --tasks ndino-{args.code} ...")
    return 0
