"""``ndino data``: one command for each source, and those that mix, check and pack what they write."""

from __future__ import annotations

import argparse
import importlib

from ndino.common.options import CommandParser

HELP = """
Build LLaVA JSON in Italian, or another language, from published sources.

Every source command writes a folder: data.jsonl (LLaVA rows), images/, rejects.jsonl (what could not be used,
with the reason), manifest.json and README.md. Rerun it to resume; --shard i/n processes one part of n.
"""
EXAMPLES = (
    "ndino data wit wit_v1.train.all-*.tsv.gz --out data/wit --contact me@example.org --limit 1000",
    "ndino data check data/wit",
)
MODULES = (
    "sources.wit",
    "sources.eurlex",
    "sources.cauldron",
    "sources.conversations",
    "sources.native",
    "sources.lcs",
    "sources.text.command",
    "sources.benchmarks",
    "commands.mix",
    "commands.check",
    "commands.leaks",
    "framework.merge",
    "commands.pack",
    "commands.review",
    "commands.tables",
    "translation.engines.convert_madlad",
)


def add_arguments(parser: CommandParser) -> None:
    """Add one subcommand for each entry of `MODULES`, and those that they bring along."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in MODULES:
        importlib.import_module(f"ndino.data.{name}").add_command(commands)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand, which has set ``args.run``."""
    return args.run(args)
