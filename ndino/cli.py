"""The command line: every command, and the one place that turns errors into a line and an exit code.

A command's module has ``HELP`` and ``EXAMPLES`` for its help, ``add_arguments(parser)`` and ``run(args)``,
which returns the exit code. It is imported when its command is called, and itself imports PyTorch and other
large libraries only in ``run``, so that help comes at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from types import ModuleType

from ndino.common.errors import (
    Stopped,
    StoppedWatching,
    UsageError,
    UserError,
    printable,
    reason_of,
    remedy_for,
)
from ndino.common.interrupts import raise_if_interrupted, remembered_interrupts
from ndino.common.options import REMOVED_IN, CommandParser
from ndino.common.provenance import commit
from ndino.common.startup import end_process, is_rank, prepare_process

DONE, FAILED, WRONG_USAGE, STOPPED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """Where a command's module is, what the list of commands says of it, and what a second run does.

    ``leaves_threads``: its threads may be at work when it ends, and nothing waits for them (`end_process`).
    """

    module: str
    summary: str
    rerun: str = "rerun to resume"
    leaves_threads: bool = False

    def load(self) -> ModuleType:
        return import_module(self.module)


COMMANDS = {
    "data": Command("ndino.data.command", "build training data and benchmarks from published sources"),
    "train": Command(
        "ndino.train.command", "train one stage, with the native engine or the upstream trainer"
    ),
    "convert": Command(
        "ndino.export.command", "convert an upstream checkpoint to Hugging Face format", "start it again"
    ),
    "export": Command("ndino.serving.command", "export a trained model for llama.cpp and Ollama"),
    "evaluate": Command("ndino.evaluation.commands.evaluate", "score models on the tasks of a language"),
    "rescore": Command(
        "ndino.evaluation.commands.rescore", "apply today's metrics to kept answers, without a model"
    ),
    "tasks": Command(
        "ndino.evaluation.commands.tasks",
        "write the tasks of a language for lmms-eval's own command line",
        "start it again",
    ),
    "judge": Command("ndino.judge.command", "rate open answers with a language model, and measure that"),
    "perplexity": Command(
        "ndino.evaluation.perplexity.command", "measure a model's perplexity on a set of answers"
    ),
    "compare": Command(
        "ndino.results.commands.compare", "compare evaluated models with paired tests", "start it again"
    ),
    "report": Command(
        "ndino.results.commands.report", "write a run's tables and its web page", "start it again"
    ),
    "chat": Command(
        "ndino.chat.command",
        "open a page to ask models about an image",
        "start it again",
        leaves_threads=True,
    ),
    "language": Command(
        "ndino.languages.adding.command", "add a language: write its file, and check it", "start it again"
    ),
    "cluster": Command("ndino.cluster.command", "check, plan and follow the SLURM jobs of launch/"),
}
FORMER_COMMANDS: dict[tuple[str, ...], str] = {
    ("results", "compare"): "compare",
    ("results", "report"): "report",
}
HELP = "\n".join(
    [
        "usage: ndino COMMAND [OPTIONS]",
        "",
        "Teach a vision-language model a language other than English, starting with Italian.",
        "",
        "commands:",
        *(f"  {name:<11} {command.summary}" for name, command in COMMANDS.items()),
        "",
        "options:",
        "  -h, --help  show this help; ndino COMMAND --help explains a command",
        "  --version   show the version and the commit",
        "",
        "exit codes:",
        "  0 done; 1 the work failed or the data were bad; 2 wrong usage; 130 stopped (Ctrl-C or a signal)",
        "",
        "Example:",
        "  ndino evaluate --help",
    ]
)


def main(arguments: Sequence[str] | None = None, *, command: str | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: without them, those of this process, which `prepare_process` may then start again.
        command: the command that ``arguments`` belong to, where its name is not the first of them.

    Raises:
        SystemExit: after ``--help``, and for a command line that cannot be parsed.
    """
    first = [command] if command else []
    if arguments is not None:
        return _dispatch([*first, *arguments])
    prepare_process()
    arguments = [*first, *sys.argv[1:]]
    named = COMMANDS.get(arguments[0]) if arguments else None
    if not is_rank() and not (named and named.leaves_threads):
        return _dispatch(arguments)
    try:
        code = _dispatch(arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else FAILED
    end_process(code)


def _dispatch(arguments: list[str]) -> int:
    if (name := FORMER_COMMANDS.get(tuple(arguments[:2]))) is not None:
        _say("ndino", f"ndino results {name} is now ndino {name}; the old name goes away in {REMOVED_IN}")
        del arguments[0]
    if not arguments:
        print(HELP, file=sys.stderr)
        return WRONG_USAGE
    name, *rest = arguments
    if name in ("-h", "--help"):
        print(HELP)
        return DONE
    if name == "--version":
        print(f"ndino {version('ndino')} (commit {commit() or 'unknown: this is no Git checkout'})")
        return DONE
    if name not in COMMANDS:
        _say("ndino", f"no command {name!r} (remedy: one of {', '.join(COMMANDS)})")
        return WRONG_USAGE
    return _run(name, rest)


def parser(name: str) -> CommandParser:
    """The parser of a command."""
    module = COMMANDS[name].load()
    made = CommandParser(prog=f"ndino {name}", description=module.HELP, examples=module.EXAMPLES)
    module.add_arguments(made)
    return made


def _run(name: str, arguments: list[str]) -> int:
    program, rerun = f"ndino {name}", COMMANDS[name].rerun
    try:
        args: argparse.Namespace = parser(name).parse_args(arguments)
        program = args.program
        with remembered_interrupts():
            code = COMMANDS[name].load().run(args)
            raise_if_interrupted()
        return code
    except UsageError as error:
        _say(program, str(error))
        return WRONG_USAGE
    except UserError as error:
        _say(program, str(error))
        return FAILED
    except ModuleNotFoundError as error:
        # An environment older than the code. A module of ours that is missing is a fault of ours.
        if str(error.name).partition(".")[0] == "ndino":
            raise
        _say(program, f"the package {error.name} is not installed (remedy: make setup)")
        return FAILED
    except OSError as error:
        _say(program, f"{reason_of(error)} (remedy: {remedy_for(error, rerun)})")
        return FAILED
    except StoppedWatching as stopped:
        print(file=sys.stderr)  # the terminal has printed ^C
        _say(program, str(stopped))
        return STOPPED
    except Stopped as stopped:
        _say(program, f"{stopped} (remedy: {rerun})")
        return STOPPED
    except KeyboardInterrupt:
        print(file=sys.stderr)  # the terminal has printed ^C
        _say(program, f"stopped (remedy: {rerun})")
        return STOPPED


def _say(program: str, line: str) -> None:
    print(f"{program}: {printable(line)}", file=sys.stderr)
