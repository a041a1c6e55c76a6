"""One name for the commands: ``ndino data ...``, ``ndino train ...``, also ``python -m ndino ...``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from ndino.common.startup import prepare_process

COMMANDS = {
    "data": ("ndino.data.__main__", "from the sources to Italian LLaVA JSON"),
    "train": ("ndino.train.__main__", "one stage, with the native engine or the upstream trainer"),
    "evaluate": ("ndino.evaluation.command", "score a model on the Italian tasks"),
    "results": ("ndino.results.__main__", "compare models, write the tables and the page"),
}
USAGE = "\n".join(
    [
        "usage: ndino COMMAND ...",
        "",
        *(f"  {name:<9} {help}" for name, (_, help) in COMMANDS.items()),
        "",
        "ndino COMMAND --help says more. Example: ndino data --help",
    ]
)


def main(arguments: Sequence[str] | None = None) -> int:
    if arguments is None:  # the process is ours
        prepare_process()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    if arguments[0] not in COMMANDS:
        print(f"ndino: no command {arguments[0]!r} (remedy: one of {', '.join(COMMANDS)})", file=sys.stderr)
        return 2
    return import_module(COMMANDS[arguments[0]][0]).main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
