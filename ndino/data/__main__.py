"""From the sources to Italian LLaVA JSON: one command a source, then mix, check and pack.

Every source command writes a folder: data.jsonl (LLaVA rows), images/, rejects.jsonl (what could not be used,
each with its reason), manifest.json and README.md. It goes on where it was stopped; --shard i/n does a part.

Example: ndino data wit wit_v1.train.all-*.tsv.gz --out data/wit --contact me@example.org --limit 1000
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from ndino.common.errors import UserError, reason_of, remedy_for
from ndino.common.startup import prepare_process

MODULES = (
    "sources.wit",
    "sources.eurlex",
    "sources.cauldron",
    "sources.conversations",
    "sources.native",
    "sources.lcs",
    "sources.benchmarks",
    "commands.mix",
    "commands.check",
    "framework.merge",
    "commands.pack",
    "commands.tables",
    "translation.engines.convert_madlad",
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="ndino data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    for name in MODULES:
        importlib.import_module(f"ndino.data.{name}").add_command(commands)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        return args.run(args)
    except UserError as error:
        print(f"ndino data: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        remedy = remedy_for(error, "rerun to resume")
        print(f"ndino data: {reason_of(error)} (remedy: {remedy})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nndino data: stopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
