"""``ndino data convert-madlad``: convert the published MADLAD-400 for CTranslate2.

With transformers 5, CTranslate2's converter is silently wrong for MADLAD: it treats the output head as tied
to the embeddings and scales its scores. So the weights are converted in a separate environment, with a
transformers that converts correctly, and the scores of the result are compared with the original's.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError
from ndino.common.files import atomic_folder, fingerprint, write_json
from ndino.common.hub import model_from_hub
from ndino.common.parsing import parse_json
from ndino.data.errors import DataError
from ndino.data.translation.engines import environments

# Versions that convert correctly. CTranslate2 and PyTorch come from the current environment.
PINS = ("transformers==4.57.6", "tokenizers==0.22.2", "huggingface_hub==0.36.2")
SCRIPT = Path(__file__).with_name("conversion.py")
# The published files that are needed. The repository also has copies of the weights in GGUF, which are not.
WANTED = ("config.json", "generation_config.json", "tokenizer_config.json", "spiece.model", "*.safetensors")
WANTED += ("*.safetensors.index.json",)
# Allowed mean difference of a token's log-probability from the original's. It leaves room for rounding errors
# in a deep model; a wrong conversion is off by whole numbers.
TOLERANCES = {"float32": 0.01, "bfloat16": 0.1, "int8": 0.3}
RECORD = "conversion.json"


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "convert-madlad",
        help="MADLAD-400 as published, for the madlad translator",
        description="Convert a published MADLAD-400 model for CTranslate2, in an environment of its own, and "
        "compare the scores of both. Needs the internet once, and twice the model's size in memory. The "
        "result is the folder for --translator-model.",
        examples=[
            "ndino data convert-madlad --model google/madlad400-3b-mt --out models/madlad400-3b-mt-int8"
        ],
    )
    command.add_argument("--model", required=True, metavar="FOLDER_OR_HUB_ID", help="the model as published")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the result")
    command.add_argument(
        "--quantization",
        choices=sorted(TOLERANCES),
        default="int8",
        help="int8: a quarter of float32's size, fastest on CPUs; bfloat16: half, for GPUs; float32: as "
        "published (default: %(default)s)",
    )
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    record = convert_madlad(args.model, args.out, args.quantization)
    print(
        f"{args.out}: {args.quantization}; the log-probabilities of {record['tokens']} given tokens are "
        f"{record['mean_difference']:.2g} from the original's on average "
        f"(at most {TOLERANCES[args.quantization]:g} is allowed), {record['largest_difference']:.2g} at most"
    )
    return 0


def convert_madlad(model: str, out: Path, quantization: str) -> dict[str, Any]:
    """Convert ``model``, a folder or a hub id, to the folder ``out``; returns the comparison of the scores.

    Raises:
        DataError: the model or the packages are not available, or the scores differ.
    """
    if out.exists() and not (out / RECORD).is_file():
        raise UsageError(f"{out}: exists and is not a converted model (remedy: another --out)")
    src = _published(model)
    python = environments.make_environment("convert", PINS)
    with atomic_folder(out) as folder:
        # -I: keeps the modules beside the script out of its import path.
        command = [str(python), "-I", str(SCRIPT), str(src), str(folder), quantization]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise DataError(
                f"{src}: the conversion failed, see above (remedy: check that memory and disk suffice)"
            )
        record = parse_json(done.stdout.splitlines()[-1])
        _refuse_differences(src, record, quantization)
        shutil.copyfile(src / "spiece.model", folder / "spiece.model")
        record |= {"model": model, "fingerprint": fingerprint(src, WANTED), "quantization": quantization}
        write_json(folder / RECORD, record)
    return record


def _published(model: str) -> Path:
    if Path(model).is_dir():
        missing = [name for name in ("config.json", "spiece.model") if not Path(model, name).is_file()]
        if missing or not list(Path(model).glob("*.safetensors")):
            raise DataError(
                f"{model}: {', '.join(missing) or 'model.safetensors'} is missing "
                "(remedy: all files of the hub's folder but *.gguf)"
            )
        return Path(model)
    return model_from_hub(model, WANTED, "a machine with internet, or a folder")


def _refuse_differences(src: Path, record: dict[str, Any], quantization: str) -> None:
    if not record["same_tokens"]:
        raise DataError(
            f"{src}: spiece.model and transformers' tokenizer cut the same text differently "
            "(remedy: take all files from one version of the model)"
        )
    if not record["mean_difference"] <= TOLERANCES[quantization]:
        raise DataError(
            f"{src}: after the conversion a token's log-probability is off by "
            f"{record['mean_difference']:.3g} on average, more than {TOLERANCES[quantization]:g}: "
            "the result would translate to noise and was removed "
            f"(remedy: versions that convert correctly are {', '.join(PINS)}, CTranslate2 4.8.5)"
        )
