"""Convert a LLaVA-NeXT checkpoint of the original code to Hugging Face's format.

    python convert_llava_weights.py checkpoints/it models/it --verify

SRC holds config.json, the weights (safetensors or .bin, in one file or in shards) and the tokenizer. Nothing
is fetched where the vision tower that config.json names is a folder on this machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ndino.common.startup import prepare_process
from ndino.export import ConversionError, convert
from ndino.export.verify import verify


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("src", type=Path, metavar="SRC", help="checkpoint folder of the original code")
    options.add_argument("dst", type=Path, metavar="DST", help="folder to make")
    options.add_argument(
        "--verify",
        action="store_true",
        help="then compare logits with the original code; exit 1 where they differ by more than 1e-4 in fp32",
    )
    options.add_argument(
        "--manifest", type=Path, help="the run's manifest.json, for the model card; by default SRC's"
    )
    options.add_argument(
        "--vision-tower", type=Path, help="the CLIP's folder, if the recorded one is not on this machine"
    )
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        convert(options.src, options.dst, manifest=options.manifest, vision_tower=options.vision_tower)
        print(f"{options.dst}: written")
        if not options.verify:
            return 0
        verdict = verify(options.src, options.dst, vision_tower=options.vision_tower)
    except ConversionError as error:
        print(f"convert_llava_weights.py: {error}", file=sys.stderr)
        return 1
    print("\n".join(verdict.lines()))
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
