"""``ndino data convert-madlad``: MADLAD-400 as published, for CTranslate2.

Under transformers 5 CTranslate2's converter is silently wrong for MADLAD: it takes the output head for the
embeddings' twin and scales its scores. So the weights are converted in an environment of its own, with a
transformers that converts right, and the result's scores are held against the original's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of
from ndino.common.files import fingerprint, key_of, whole_folder, write_json
from ndino.data.errors import DataError
from ndino.upstream.mirror import cache_folder

# What converts right, with the versions that it came with. CTranslate2 and PyTorch are this environment's.
PINS = ("transformers==4.57.6", "tokenizers==0.22.2", "huggingface_hub==0.36.2")
SCRIPT = Path(__file__).with_name("conversion.py")
# The published files that matter: GGUF copies of the weights lie beside them.
WANTED = ("config.json", "generation_config.json", "tokenizer_config.json", "spiece.model", "*.safetensors")
WANTED += ("*.safetensors.index.json",)
# How far a token's log-probability may be from the original's, on average: room for rounding in a deep model.
# A wrong conversion is off by whole numbers.
TOLERANCES = {"float32": 0.01, "bfloat16": 0.1, "int8": 0.3}
RECORD = "conversion.json"


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "convert-madlad",
        help="MADLAD-400 as published, for the madlad translator",
        description="Convert a MADLAD-400 model as published (a folder, or a hub id which is downloaded) "
        "for CTranslate2, in an environment of its own, and compare the scores of both. Needs the internet "
        "once, and twice the model's size in memory. Writes FOLDER for --translator-model.\n\n"
        "Example: ndino data convert-madlad --model google/madlad400-3b-mt --out models/madlad400-3b-mt-int8",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--model", required=True, metavar="FOLDER|HUB_ID", help="the model as published")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the result")
    command.add_argument(
        "--quantization",
        choices=sorted(TOLERANCES),
        default="int8",
        help="int8: a quarter of float32's size, quickest on CPUs; bfloat16: half, for GPUs; float32: as "
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
    """Convert ``model``, a folder or a hub id, to the folder ``out``; returns what was compared.

    Raises:
        DataError: the model or the packages cannot be had, or the scores differ.
    """
    if out.exists() and not (out / RECORD).is_file():
        raise DataError(f"{out}: exists and is no converted model (remedy: another --out)")
    src = _published(model)
    python = environment()
    with whole_folder(out) as folder:
        # -I: this package's modules stay out of the script's way.
        command = [str(python), "-I", str(SCRIPT), str(src), str(folder), quantization]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise DataError(
                f"{src}: the conversion failed, see above (remedy: is there memory and disk for the model?)"
            )
        record = json.loads(done.stdout.splitlines()[-1])
        _refuse_differences(src, record, quantization)
        shutil.copyfile(src / "spiece.model", folder / "spiece.model")
        record |= {"model": model, "fingerprint": fingerprint(src, WANTED), "quantization": quantization}
        write_json(folder / RECORD, record)
    return record


def environment_folder() -> Path:
    """Where the environment that converts is, or would be."""
    return cache_folder() / "convert" / key_of(*PINS, _behind(), sys.version)


def environment() -> Path:
    """Python of the environment that converts, made in the user's cache folder where it is missing.

    It holds ``PINS``; all else is taken from this environment, which stands behind it. Raises DataError where
    the packages cannot be installed.
    """
    folder = environment_folder()
    python = folder / "bin" / "python"
    if folder.is_dir():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Under another name first: a second run must not find half of it. Names inside an environment are
    # absolute, but neither its Python nor `python -m` uses them.
    temporary = folder.with_name(f".making.{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        venv.create(temporary, with_pip=True)
        own = sysconfig.get_path("purelib", vars={"base": str(temporary), "platbase": str(temporary)})
        Path(own, "behind.pth").write_text(f"{_behind()}\n")
        install = [str(temporary / "bin" / "python"), "-m", "pip", "install", "--quiet", "--upgrade"]
        done = subprocess.run(
            [*install, "--disable-pip-version-check", *PINS], capture_output=True, text=True
        )
        if done.returncode:
            raise DataError(
                f"{', '.join(PINS)} cannot be installed: {(done.stderr.splitlines() or ['pip failed'])[-1]} "
                "(remedy: run this where the package index is in reach, such as a login node)"
            )
        with contextlib.suppress(OSError):  # another process was quicker
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return python


def _behind() -> str:
    return sysconfig.get_path("purelib")


def _published(model: str) -> Path:
    if Path(model).is_dir():
        missing = [name for name in ("config.json", "spiece.model") if not Path(model, name).is_file()]
        if missing or not list(Path(model).glob("*.safetensors")):
            raise DataError(
                f"{model}: {', '.join(missing) or 'model.safetensors'} is missing "
                "(remedy: all files of the hub's folder but *.gguf)"
            )
        return Path(model)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=list(WANTED)))
    except Exception as error:  # the hub's client has no common ancestor for its errors
        raise DataError(
            f"{model}: no folder, and the hub does not give it: {reason_of(error)} "
            "(remedy: a machine with internet, or a folder)"
        ) from error


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
            f"(remedy: the versions that convert right are {', '.join(PINS)}, CTranslate2 4.8.5)"
        )
