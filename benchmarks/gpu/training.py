"""Parts of the GPU check that train: speed and memory, loss against the CPU's, resuming, adapters."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file

from benchmarks.gpu.inputs import (
    LLAMA_1B,
    LLAMA_8B_WIDTH,
    ROOT,
    SMALL,
    TINY,
    Shape,
    recipe_for,
    write_model,
    write_recipe,
    write_rows,
)
from ndino.formats.recipes import Adapter, Recipe
from ndino.train.engine import run_stage
from ndino.train.stage import Stage

FIGURES = ("samples_per_second", "tokens_per_second", "useful_share", "mfu", "loss")
# What differs from right-padded batches in random order. A field that recipes do not have is not available.
MODES: dict[str, dict[str, Any]] = {
    "padded": {},
    "grouped": {"length_grouping": True},
    "packed": {"packing": True},
}


class _EnoughError(Exception):
    """Ends training after the measured steps, before anything is saved."""


def measure(stage: Stage, *, warmup: int, steps: int) -> dict[str, Any]:
    """Mean figures of ``steps`` steps after ``warmup`` steps of a stage that logs each step."""
    seen: list[dict[str, Any]] = []

    def look(step: int, of: int) -> None:
        # A step is logged after this call, so this is the one before.
        if step > warmup + 1:
            seen.append(json.loads((stage.out / "progress.json").read_text()))
        if step > warmup + steps:
            raise _EnoughError

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(_EnoughError):
        run_stage(stage, on_step=look)
    found: dict[str, Any] = {
        # Rates over equal work: the harmonic mean is work over time.
        name: round(len(seen) / sum(1 / max(log[name], 1e-9) for log in seen), 4)
        if name.endswith("per_second") or name == "mfu"
        else round(sum(log[name] for log in seen) / len(seen), 4)
        for name in FIGURES
        if name in seen[0]
    }
    if torch.cuda.is_available():
        found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 1024**3, 2)
    gc.collect()
    torch.cuda.empty_cache()
    return {**found, "steps": len(seen)}


def _shapes(tiny: bool) -> dict[str, Shape]:
    return {"tiny": TINY} if tiny else {"1B": LLAMA_1B, "8B width, 4 layers": LLAMA_8B_WIDTH}


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _rows(folder: Path, count: int, *, tiny: bool) -> Path:
    scale, words = (0.2, 8) if tiny else (1.0, 400)
    return write_rows(folder / "data", count, scale=scale, words=words)


def _size(tiny: bool) -> dict[str, Any]:
    # Workers, although there are few rows: a GPU must not wait for images.
    return {} if tiny else {"effective_batch": 16, "per_device_batch": 8, "loader_workers": 8}


def throughput(folder: Path, *, tiny: bool) -> dict[str, Any]:
    """(a) bf16 training at 336 px with AnyRes images: padded, grouped and packed."""
    data = _rows(folder, 24 if tiny else 256, tiny=tiny)
    known = {field.name for field in dataclasses.fields(Recipe)}
    found: dict[str, Any] = {}
    for name, shape in _shapes(tiny).items():
        model = write_model(folder / name.split()[0], shape, dtype=torch.bfloat16, device=_device())
        for mode, changes in MODES.items():
            if not changes.keys() <= known:
                found[f"{name}, {mode}"] = "not available"
                continue
            recipe = recipe_for(shape, **changes, **_size(tiny))
            out = folder / f"run-{name.split()[0]}-{mode}"
            stage = Stage(recipe, data / "rows.jsonl", data / "images", out, model=model)
            found[f"{name}, {mode}"] = measure(stage, warmup=1 if tiny else 4, steps=2 if tiny else 12)
    return found


def adapters(folder: Path, *, tiny: bool) -> dict[str, Any]:
    """(e) Steps with LoRA and with QLoRA and 8-bit AdamW."""
    data = _rows(folder, 16 if tiny else 64, tiny=tiny)
    shape = TINY if tiny else LLAMA_8B_WIDTH
    model = write_model(folder / "model", shape, dtype=torch.bfloat16, device=_device())
    paged = "paged_adamw_8bit" if torch.cuda.is_available() else "adamw_8bit"
    found: dict[str, Any] = {}
    kinds: tuple[tuple[Literal["lora", "qlora"], str], ...] = (("lora", "adamw"), ("qlora", paged))
    for kind, optimizer in kinds:
        recipe = recipe_for(
            shape,
            **_size(tiny),
            adapter=Adapter(kind=kind, r=4 if tiny else 64),
            trainable=("projector", "language_model"),
            optimizer=optimizer,
            learning_rate=1e-4,
        )
        stage = Stage(recipe, data / "rows.jsonl", data / "images", folder / kind, model=model)
        try:
            found[kind] = measure(stage, warmup=1, steps=2 if tiny else 6)
        except Exception as error:
            found[kind] = f"{type(error).__name__}: {error}"
    if failed := [kind for kind, value in found.items() if isinstance(value, str)]:
        raise RuntimeError(f"{failed[0]}: {found[failed[0]]}")
    return found


def _train(recipe: Path, data: Path, model: Path, out: Path, *, cpu: bool = False) -> list[str]:
    return [
        *("env", "CUDA_VISIBLE_DEVICES=") * cpu,
        *(sys.executable, "-m", "ndino", "train", str(recipe), "--out", str(out), "--model", str(model)),
        *("--data", str(data / "rows.jsonl"), "--images", str(data / "images")),
    ]


def _finish(process: subprocess.Popen[str]) -> None:
    said = process.communicate(timeout=400)[1]
    if process.returncode:
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        raise RuntimeError(f"training ended with {process.returncode}: {last}")


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        text=True,
        env=os.environ | {"PYTHONUTF8": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _curve(out: Path) -> list[float]:
    return [loss for _, loss in json.loads((out / "manifest.json").read_text())["loss_curve"]]


def _largest_relative(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) / abs(a) for a, b in zip(one, other, strict=True))


def against_cpu(folder: Path, *, tiny: bool) -> dict[str, Any]:
    """(b) and (c): losses of 30 steps against the CPU's in fp32; a run that is killed and resumed."""
    steps = 6 if tiny else 30
    shape = TINY if tiny else SMALL
    data = write_rows(folder / "data", 32, scale=0.2 if tiny else 0.5, words=8 if tiny else 40)
    model = write_model(folder / "model", shape, dtype=torch.float32, device="cpu")
    base = recipe_for(shape, max_steps=steps, save_steps=steps // 3, learning_rate=1e-4, save_total_limit=5)
    precise = dataclasses.replace(base, precision="fp32")
    recipes = {
        "fp32": write_recipe(folder / "fp32.yaml", precise),
        "bf16": write_recipe(folder / "bf16.yaml", base),
    }
    runs = {
        "cpu": _start(_train(recipes["fp32"], data, model, folder / "cpu", cpu=True)),
        "fp32": _start(_train(recipes["fp32"], data, model, folder / "fp32")),
        "bf16": _start(_train(recipes["bf16"], data, model, folder / "bf16")),
    }
    for run in runs.values():
        _finish(run)
    cpu, fp32, bf16 = (_curve(folder / name) for name in runs)
    found: dict[str, Any] = {
        "steps": steps,
        "loss_first_last_cpu": [cpu[0], cpu[-1]],
        "largest_relative_difference_fp32": _largest_relative(cpu, fp32),
        "largest_relative_difference_bf16": _largest_relative(cpu, bf16),
    }
    command = _train(recipes["bf16"], data, model, folder / "killed")
    process = _start(command)
    while not (folder / "killed" / f"checkpoint-{steps // 3}" / "whole.json").exists():
        if process.poll() is not None:
            _finish(process)
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _finish(_start(command))
    manifest = json.loads((folder / "killed" / "manifest.json").read_text())
    one, other = (load_file(folder / name / "model" / "model.safetensors") for name in ("bf16", "killed"))
    return {
        **found,
        "resumed_from": manifest["resumed_from"],
        "resumed_largest_relative_difference": _largest_relative(bf16, _curve(folder / "killed")),
        "resumed_weights_bit_equal": all(torch.equal(one[name], other[name]) for name in one),
    }
