"""``ndino export``: a trained model in another program's format."""

from __future__ import annotations

import argparse
from pathlib import Path

from ndino.common.errors import UsageError
from ndino.common.options import CommandParser, need_folder, need_no_file
from ndino.formats.model_kinds import ADAPTER, LANGUAGE_MODEL, PUBLISHED, TOWER, UPSTREAM, require_kind

HELP = """
Export a trained model for another program.

gguf: for llama.cpp and Ollama. FOLDER receives the language model and the vision tower with its projector,
one file each, and a Modelfile for Ollama. --type is the precision of the language model's matrices: f16, q8_0
(8 bits) or q4_k_m (about 4.5 bits; it needs the package llama-cpp-python). Rerun to resume: files that are
whole are kept.

vllm: for vLLM. MODEL is checked, and what vLLM would refuse or misread, such as names of weights, is mended
in FOLDER, which shares all other files with MODEL. Where there is nothing to mend, nothing is written.
"""
EXAMPLES = (
    "ndino export runs/demo/mlp-pt-it/model --to gguf",
    "ndino export runs/paper/mlp-pt-it/model --to gguf --type q8_0 --out exports/it-q8_0",
    "ndino export runs/demo/mlp-pt-it/model --to vllm",
)
TYPES = ("f16", "q8_0", "q4_k_m")
_WHOLE = "give a folder that ndino train or ndino convert wrote"
_REMEDIES = {
    UPSTREAM: "convert it: ndino convert SRC DST",
    LANGUAGE_MODEL: _WHOLE,
    TOWER: _WHOLE,
    ADAPTER: "merge it into its base model and save the whole model",
    "": _WHOLE,
}


def add_arguments(parser: CommandParser) -> None:
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="folder of a trained model in Hugging Face format")
    add("--to", required=True, choices=["gguf", "vllm"], help="format of the export")
    add("--type", choices=TYPES, help=f"for gguf: precision of the language model (default: {TYPES[0]})")
    add(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="folder of the result (default: MODEL-gguf-TYPE or MODEL-vllm)",
    )


def run(args: argparse.Namespace) -> int:
    need_folder(args.model, "name the folder of a trained model")
    if args.out is not None:
        need_no_file(args.out)
    require_kind(args.model, PUBLISHED, _REMEDIES)
    if args.to == "vllm":
        if args.type is not None:
            raise UsageError("--type: vLLM takes the weights as they are (remedy: leave it out)")
        from ndino.serving.vllm.export import export as export_for_vllm

        made = export_for_vllm(args.model, args.out)
    else:
        from ndino.serving.gguf.export import export

        made = export(args.model, args.out, args.type or TYPES[0])
    print("\n".join(made.lines()))
    return 0
