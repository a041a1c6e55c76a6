"""Peak memory and time of the converter against loading the whole checkpoint, on a synthetic checkpoint.

    python -m benchmarks.convert                    4 GB, about two minutes and 12 GB of disk
    python -m benchmarks.convert --gigabytes 0.1

Compared with the paper's released converter, which loads all weights into one dictionary in float16, hands
them to the model, resizes the embeddings and saves. The comparison favours it in two ways: the checkpoint is
float16 already, so casting copies nothing, and new embedding rows are the mean of the old ones instead of
samples from a distribution with their covariance. Each way runs in its own process, in turns. Memory is the
largest resident size, including mapped files; time is that of the conversion without imports.

Goal: at most 0.35 of the other way's peak memory, with equal weights. The last line is JSON: ``name``,
``ratio`` (peak memory, ours over theirs), ``goal``, ``equal`` (bit-identical weights) and ``conditions``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import LlamaConfig, LlavaNextForConditionalGeneration
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from benchmarks.bench.result import print_result
from fixtures.upstream_checkpoint import (
    llama,
    upstream_config,
    upstream_weights,
    write_tokenizer,
    write_tower,
)
from ndino.common.transformers_types import vision_sizes
from ndino.export.checkpoint import open_checkpoint
from ndino.export.converter import convert
from ndino.export.names import plan
from ndino.export.settings import build_config, read_tokenizer
from ndino.export.tower import read_tower
from ndino.export.writer import write_safetensors
from ndino.formats import model_folder

ROOT = Path(__file__).resolve().parents[1]
GOAL = 0.35
DTYPE = torch.float16
BLOCK = 2**22  # random numbers; drawn once and repeated, as drawing 4 GB would take longer than the benchmark


def write_synthetic(folder: Path, gigabytes: float) -> Path:
    """Write a checkpoint in one file, with LLaMA 3's proportions and as many layers as fit."""
    hidden = 2048 if gigabytes >= 2 else 256
    shape = {
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256 if gigabytes >= 2 else 8192,
        "max_position_embeddings": 8192,
    }
    one, two = (
        sum(value.nbytes for value in _shapes(llama(**shape, num_hidden_layers=n)).values()) for n in (1, 2)
    )
    layers = max(1, 1 + round((gigabytes * 1e9 - one) / (two - one)))
    text = llama(**shape, num_hidden_layers=layers)
    weights = _shapes(text)
    tower = write_tower(folder / "tower")
    src = folder / "src"
    src.mkdir()
    block = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)).to(DTYPE)

    def pieces(value: torch.Tensor) -> Iterator[torch.Tensor]:
        for start in range(0, value.numel(), BLOCK):
            yield block[: min(BLOCK, value.numel() - start)]

    layout = {name: (tuple(value.shape), value.dtype) for name, value in weights.items()}
    for _ in write_safetensors(
        src / "model.safetensors", layout, (pieces(value) for value in weights.values())
    ):
        pass
    (src / "config.json").write_text(json.dumps(upstream_config(text, tower, DTYPE)))
    write_tokenizer(src)
    return src


def load_everything(src: Path, dst: Path) -> None:
    """Convert with the whole model in memory."""
    checkpoint = open_checkpoint(src)
    tower = read_tower(checkpoint.config["mm_vision_tower"], src)
    tokenizer = read_tokenizer(src)
    config = build_config(checkpoint, tower, tokenizer)
    names = plan(checkpoint, config)
    text = config.get_text_config()
    rows, size = checkpoint.config["vocab_size"], text.vocab_size
    text.vocab_size, text.pad_token_id = rows, None
    weights = {}
    with safe_open(src / "model.safetensors", "pt") as file:
        for name in file.keys():  # noqa: SIM118
            weights[names[name]] = file.get_tensor(name).to(torch.float16)
    with torch.device("meta"):
        model = LlavaNextForConditionalGeneration(config)
    model.load_state_dict(
        {name: weights.pop(model_folder.saved_name(name)) for name in list(model.state_dict())},
        assign=True,
    )
    model.resize_token_embeddings(size, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            assert isinstance(layer, torch.nn.Embedding | torch.nn.Linear)
            layer.weight[rows:] = layer.weight[:rows].double().mean(dim=0).to(DTYPE)
    named = {model_folder.saved_name(name): value for name, value in model.state_dict().items()}
    model.save_pretrained(dst, state_dict=named, save_original_format=False)
    processor = LlavaNextImageProcessorPil(image_grid_pinpoints=config.image_grid_pinpoints)
    patch_size = vision_sizes(config.vision_config).patch_size
    model_folder.build_processor(tokenizer, processor, patch_size=patch_size).save_pretrained(dst)


WAYS = {"streamed": convert, "everything": load_everything}


def run_one(way: str, src: Path, dst: Path) -> None:
    """Convert, then print seconds and peak memory. Runs in its own process."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    WAYS[way](src, dst)
    seconds = time.perf_counter() - started
    # VmHWM is this program's own peak; getrusage's value starts from the peak of the parent process.
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    peak = int(found[1]) / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


def measure(way: str, src: Path, dst: Path) -> dict[str, float]:
    shutil.rmtree(dst, ignore_errors=True)
    os.sync()
    command = [sys.executable, "-m", "benchmarks.convert", "--run", way, str(src), str(dst)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def equal_weights(ours: Path, theirs: Path) -> bool:
    """Whether both folders hold bit-identical weights."""
    found = [_where(folder) for folder in (ours, theirs)]
    if found[0].keys() != found[1].keys():
        return False
    for name in found[0]:
        values = []
        for files in found:
            with safe_open(files[name], "pt") as file:
                values.append(file.get_tensor(name))
        if values[0].dtype != values[1].dtype or not torch.equal(*values):
            return False
    return True


def _shapes(text: LlamaConfig) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return upstream_weights(text, dtype=DTYPE)


def _where(folder: Path) -> dict[str, Path]:
    names = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            names |= dict.fromkeys(file.keys(), path)
    return names


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the checkpoint (default: 4)")
    parser.add_argument("--turns", type=int, default=2, help="conversions each way (default: 2)")
    parser.add_argument("--run", nargs=3, metavar=("WAY", "SRC", "DST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        way, src, dst = options.run
        run_one(way, Path(src), Path(dst))
        return 0
    with tempfile.TemporaryDirectory(prefix="ndino-convert-") as temporary:
        folder = Path(temporary)
        src = write_synthetic(folder, options.gigabytes)
        size = (src / "model.safetensors").stat().st_size
        found = {way: [] for way in WAYS}
        for _ in range(options.turns):
            for way in WAYS:
                found[way].append(measure(way, src, folder / way))
                print(
                    f"{way}: {found[way][-1]['seconds']:.1f} s, {found[way][-1]['peak_mib']:,.0f} MiB",
                    flush=True,
                )
        equal = equal_weights(folder / "streamed", folder / "everything")
    peak = {way: max(turn["peak_mib"] for turn in turns) for way, turns in found.items()}
    seconds = {way: min(turn["seconds"] for turn in turns) for way, turns in found.items()}
    print_result(
        "convert",
        ratio=round(peak["streamed"] / peak["everything"], 3),
        goal=GOAL,
        equal=equal,
        conditions={
            "measure": "peak memory, streamed over everything loaded",
            "time_ratio": round(seconds["streamed"] / seconds["everything"], 3),
            "peak_mib": {way: round(value) for way, value in peak.items()},
            "seconds": {way: round(value, 2) for way, value in seconds.items()},
            "checkpoint_bytes": size,
            "dtype": str(DTYPE),
            "turns": options.turns,
            "threads": 1,
        },
    )
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
