"""``ndino convert``: from an upstream checkpoint to a model in Hugging Face format."""

from __future__ import annotations

import argparse
from pathlib import Path

from ndino.common.options import CommandParser, need_file, need_folder

HELP = """
Convert a LLaVA-NeXT checkpoint of the original code to Hugging Face format.

SRC holds config.json, the weights (safetensors or .bin, in one file or in shards) and the tokenizer. Nothing
is downloaded if the vision tower that config.json names is a folder on this machine.
"""
EXAMPLES = ("ndino convert checkpoints/it models/it --verify",)


def add_arguments(parser: CommandParser) -> None:
    add = parser.add_argument
    add("src", type=Path, metavar="SRC", help="checkpoint folder of the original code")
    add("dst", type=Path, metavar="DST", help="folder of the result, which must not exist yet")
    add(
        "--verify",
        action="store_true",
        help="then compare the logits with the original code's in fp32, and fail if they differ",
    )
    add(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="the run's manifest.json, for the model card (default: the one in SRC)",
    )
    add(
        "--vision-tower",
        type=Path,
        metavar="FOLDER",
        help="the CLIP model (default: where SRC/config.json says it is)",
    )


def run(args: argparse.Namespace) -> int:
    need_folder(args.src, "name a checkpoint folder of the original code")
    if args.manifest is not None:
        need_file(args.manifest, "name a run's manifest.json, or leave --manifest out")
    if args.vision_tower is not None:
        need_folder(args.vision_tower, "name the folder of a CLIP model")

    from ndino.export.converter import convert

    convert(args.src, args.dst, manifest=args.manifest, vision_tower=args.vision_tower)
    print(f"{args.dst}: written")
    if not args.verify:
        return 0

    from ndino.export.verify import verify

    verdict = verify(args.src, args.dst, vision_tower=args.vision_tower)
    print("\n".join(verdict.lines()))
    return 0 if verdict.passed else 1
