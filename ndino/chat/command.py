"""``ndino chat``: a page on this machine to ask models about an image, side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ndino.common.errors import StoppedWatching, UsageError
from ndino.common.options import CommandParser, need_folder, positive

HELP = """
Open a page at http://127.0.0.1:7860 on which models answer questions about an image, one column each.

An image is uploaded, pasted, dropped, taken with the camera or chosen from examples. The switch "another
image" asks the same question with another image, as the shuffled control of `ndino evaluate` does: a model
that says the same has not looked. A conversation is copied as a training sample in LLaVA JSON. Images and
texts stay in memory, and go nowhere but to the models.

A model behind an OpenAI-compatible server (vLLM, llama.cpp) is named by its address, # and what the server
calls it; a key is read from the environment variable NDINO_ENDPOINT_KEY.

Without models it shows two of the demo's, PT+IT and PT+LONG-IT, from runs/demo or else runs/demo-fast.
"""
EXAMPLES = (
    "ndino chat IT=runs/demo/mlp-it/model PT+IT=runs/demo/mlp-pt-it/model",
    "ndino chat runs/a/model served=http://127.0.0.1:8000/v1#NAME",
    "ndino chat runs/es/mlp-pt-it/model owner/llava-next --lang es --data data/benchmarks_es/benchmarks",
)
PORT = 7860
DEMOS = (Path("runs/demo"), Path("runs/demo-fast"))
DEMO_MODELS = {"PT+IT": "mlp-pt-it/model", "PT+LONG-IT": "mlp-pt-long/model"}


def add_arguments(parser: CommandParser) -> None:
    add = parser.add_argument
    add(
        "models",
        nargs="*",
        metavar="[NAME=]FOLDER_OR_HUB_ID_OR_ADDRESS",
        help="models to ask, as NAME on the page (default: two of the demo's); a server's model is "
        "http://HOST:PORT/v1#MODEL",
    )
    add(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="benchmarks, for examples of images and questions (default: those of the models' run)",
    )
    add(
        "--lang",
        default="it",
        metavar="CODE",
        help="language of the questions at first (default: %(default)s)",
    )
    add("--port", type=positive, default=PORT, metavar="N", help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    from ndino.chat.examples import find_examples
    from ndino.chat.server import serve
    from ndino.chat.session import ChatSession
    from ndino.formats.model_kinds import benchmarks_beside
    from ndino.languages.language import language

    language(args.lang)
    if args.data:
        need_folder(args.data, "name a folder of benchmarks, such as runs/demo/data/benchmarks")
    if args.port > 65535:
        raise UsageError(f"--port {args.port}: no such port (remedy: a number from 1024 to 65535)")
    columns = _columns(args.models or _demo_models())
    beside = (benchmarks_beside(column.folder) for column in columns if column.folder)
    data = args.data or next(filter(None, beside), None)
    examples = find_examples(data, required=args.data is not None) if data else []
    session = ChatSession(columns, examples, args.lang)
    try:
        serve(session, args.port, lambda address: print(f"Open {address} (Ctrl-C ends it)", flush=True))
    except KeyboardInterrupt:
        raise StoppedWatching("ended; nothing was kept") from None
    return 0


def _demo_models() -> list[str]:
    for run in DEMOS:
        if all((run / place).is_dir() for place in DEMO_MODELS.values()):
            if run != DEMOS[0]:
                print(f"no models in {DEMOS[0]}; these are from {run}, hardly trained", file=sys.stderr)
            return [f"{name}={run / place}" for name, place in DEMO_MODELS.items()]
    raise UsageError(
        f"no models are named, and none of the demo in {DEMOS[0]} (remedy: make demo, or name a model folder)"
    )


def _columns(models: list[str]):
    """A column for each model; one that cannot be used keeps why, unless none can.

    Raises:
        UsageError: there is no such folder or hub id, or two have one name.
        SetupError: no model can be used.
    """
    from ndino.chat.session import ModelColumn
    from ndino.common.endpoint.address import is_address, split_address
    from ndino.evaluation.errors import SetupError
    from ndino.evaluation.models import ENDPOINT_KEY, find_folder, name_of, parse_model

    columns, faults = [], []
    for name, source in map(parse_model, models):
        if is_address(source):
            address, model = split_address(source, "the address", ENDPOINT_KEY)
            name = (model or address) if name == name_of(source) else name
        if name in [column.name for column in columns]:
            raise UsageError(f"two models are called {name} (remedy: name them, as in A={source})")
        try:
            folder = None if is_address(source) else find_folder(source, other_backends=False)
            columns.append(ModelColumn(name, source, folder))
        except SetupError as error:
            faults.append(error)
            columns.append(ModelColumn(name, source, message=str(error)))
    if len(faults) == len(columns):
        raise faults[0]
    return columns
