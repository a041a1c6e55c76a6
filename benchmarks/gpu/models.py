"""Parts of the GPU check on finished models: conversion, greedy answers, two processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoProcessor, GenerationConfig, LlavaNextForConditionalGeneration

from benchmarks.convert import write_synthetic
from benchmarks.gpu.inputs import LLAMA_1B, ROOT, SHAPES, TINY, write_model
from ndino.common.transformers_types import generate
from ndino.evaluation.inference.greedy import decode, on_model
from ndino.export.converter import convert
from ndino.export.verify import verify
from ndino.formats.prompts import END_OF_TURN

SPREAD = 0.05  # standard deviation of weights with which answers depend on image and question


def conversion(folder: Path, *, tiny: bool) -> dict[str, Any]:
    """(d) A synthetic upstream checkpoint, converted, and checked as far as this machine can."""
    begun = time.perf_counter()
    src = write_synthetic(folder, 0.01 if tiny else 2.0)
    written = time.perf_counter()
    convert(src, folder / "dst", quiet=True)
    converted = time.perf_counter()
    verdict = verify(src, folder / "dst")
    if not verdict.passed:
        raise RuntimeError(verdict.lines()[-1])
    return {
        "write_seconds": round(written - begun, 1),
        "convert_seconds": round(converted - written, 1),
        "check_seconds": round(time.perf_counter() - converted, 1),
        "check": verdict.lines()[-1],
    }


def answers(folder: Path, *, tiny: bool) -> dict[str, Any]:
    """(d) Questions a second and answers changed: packed behind a shared prefix, against one at a time."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    path = write_model(folder / "model", TINY if tiny else LLAMA_1B, dtype=dtype, device=device)
    model: Any = LlavaNextForConditionalGeneration.from_pretrained(path, dtype=dtype)
    model = model.to(device).eval()
    processor: Any = AutoProcessor.from_pretrained(path)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("proj.weight"):
                weight.normal_(std=SPREAD)
        model.lm_head.weight[len(processor.tokenizer) :] = 0  # ids that the tokenizer lacks
    end = processor.tokenizer.convert_tokens_to_ids(END_OF_TURN)
    images, questions, tokens = (2, 6, 4) if tiny else (8, 18, 8)
    asked: list[tuple[Image.Image, str]] = []
    for number in range(images):
        noise = (
            Image.effect_noise((6, 6), 90 + number)
            .convert("RGB")
            .resize((640, 480), Image.Resampling.NEAREST)
        )
        image = noise.resize((128, 96)) if tiny else noise
        asked += [(image, f"Domanda {n}: dov'è {SHAPES[n % len(SHAPES)]}?") for n in range(questions)]
    inputs = [processor(images=image, text=f"<image>\n{text}", return_tensors="pt") for image, text in asked]
    settings = GenerationConfig(
        eos_token_id=end, pad_token_id=processor.tokenizer.pad_token_id, max_new_tokens=tokens
    )

    def alone() -> list[list[int]]:
        found = []
        for each in inputs:
            made = generate(model, **on_model(each, model), generation_config=settings, do_sample=False)
            found.append(made[0, each["input_ids"].shape[1] :].tolist())
        return found

    def packed() -> list[list[int]]:
        found: list[list[int]] = []
        for start in range(0, len(inputs), questions):
            group = inputs[start : start + questions]
            shown = {name: group[0][name] for name in ("pixel_values", "image_sizes")}
            prompts = [each["input_ids"][0].tolist() for each in group]
            rows = decode(model, [prompts], [shown], stop_ids=[end], max_new_tokens=tokens)
            found += rows[0]
        return found

    speeds, given = {}, {}
    for name, way in (("one_at_a_time", alone), ("packed", packed)):
        with torch.inference_mode():
            way()  # warms kernels and caches up
            if device == "cuda":
                torch.cuda.synchronize()
            begun = time.perf_counter()
            given[name] = way()
            speeds[name] = round(len(asked) / (time.perf_counter() - begun), 2)
    changed = sum(a != b for a, b in zip(given["one_at_a_time"], given["packed"], strict=True))
    return {
        "questions": len(asked),
        "questions_per_second": speeds,
        "ratio": round(speeds["packed"] / speeds["one_at_a_time"], 2),
        "answers_changed": changed,
        "different_answers": len({tuple(answer) for answer in given["packed"]}),
        "dtype": str(dtype),
    }


REDUCE = """
import os, sys, torch, torch.distributed as dist
backend, device = sys.argv[1:]
dist.init_process_group(backend)
value = torch.ones(1 << 20, device=device) * (dist.get_rank() + 1)
dist.all_reduce(value)
assert bool((value == 3).all()), value
dist.destroy_process_group()
"""


def processes(folder: Path, *, tiny: bool) -> dict[str, Any]:
    """(f) Two processes: NCCL on one device, if it allows that, else gloo."""
    program = folder / "reduce.py"
    program.write_text(REDUCE)
    found: dict[str, Any] = {}
    for backend in ("nccl", "gloo"):
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
        if backend == "nccl" and device == "cpu":
            found[backend] = "not available: no GPU"
            continue
        command = [str(program), backend, device]
        launch = (
            f"from ndino.train.launching.ranks import run_ranks; exit(run_ranks({command!r}, 2, grace=5))"
        )
        done = subprocess.run(
            [sys.executable, "-c", launch],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"NCCL_DEBUG": "WARN"},
        )
        reason = next(
            (line for line in done.stderr.splitlines()[::-1] if "Error" in line or "WARN" in line), ""
        )
        found[backend] = "works" if done.returncode == 0 else f"does not: {reason.strip()}"
        if done.returncode == 0:
            return found
    raise RuntimeError(f"neither NCCL nor gloo: {found}")
