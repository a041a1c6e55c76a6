"""What can only be seen on a GPU, sized for eight minutes on one H100 without a network.

    python -m benchmarks.gpu                       writes gpu.json
    python -m benchmarks.gpu --tiny                every part on small models, on a CPU in a minute

Parts: bf16 training of a 1B model and of a 4-layer model of the 8B's width at 336 px (padded, grouped,
packed), steps with LoRA and QLoRA, losses against the CPU's and a run that is killed and resumed, conversion,
greedy answers packed behind a shared prefix, and two processes. A part that fails is recorded with the last
line of its traceback, the others run, and the exit code is 1. A part that would begin after ``--seconds`` is
recorded as left out. gpu.json is rewritten after each part.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.gpu.models import answers, conversion, processes
from benchmarks.gpu.training import adapters, against_cpu, throughput
from ndino.common.provenance import commit

PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "throughput": throughput,
    "adapters": adapters,
    "against_cpu": against_cpu,
    "answers": answers,
    "processes": processes,
    "conversion": conversion,
}
PACKAGES = ("torch", "transformers", "accelerate", "peft", "bitsandbytes", "datasets")


def machine() -> dict[str, Any]:
    """The device's name and memory, and versions."""
    found: dict[str, Any] = {"device": platform.processor() or platform.machine(), "cpus": os.cpu_count()}
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        found |= {"device": about.name, "memory_gib": round(about.total_memory / 1024**3, 1)}
        found["cuda"] = torch.version.cuda
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return {**found, "python": platform.python_version(), "commit": commit()}


def run_part(part: Callable[..., dict[str, Any]], *, tiny: bool) -> tuple[dict[str, Any], bool]:
    """A part's figures and seconds, and whether it passed; a failure is its figure."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ndino-gpu-") as folder:
        try:
            found, passed = part(Path(folder), tiny=tiny), True
        except Exception as error:
            traceback.print_exc()
            found, passed = {"failed": traceback.format_exception_only(error)[-1].strip()}, False
    gc.collect()
    torch.cuda.empty_cache()
    return {**found, "seconds": round(time.perf_counter() - begun, 1)}, passed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="small models, on a CPU too")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=420, help="begin no part later (default: 420)")
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        print("benchmarks.gpu: PyTorch sees no GPU (remedy: --tiny)", file=sys.stderr)
        return 1
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    begun, good = time.perf_counter(), True
    found: dict[str, Any] = {"machine": machine(), "tiny": options.tiny, "parts": {}}
    for name in options.parts:
        if (late := time.perf_counter() - begun) > options.seconds:
            figures, passed = {"left out": f"{late:.0f} s had passed"}, False
        else:
            figures, passed = run_part(PARTS[name], tiny=options.tiny)
        found["parts"][name] = figures
        good &= passed
        options.out.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{name}: {json.dumps(figures)}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
