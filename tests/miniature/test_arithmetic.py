"""Training gives the same weights whatever kernels the processor would get."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from miniature.backbones import pretrain_tower
from miniature.jobs import Job, run_jobs

SILENT = Console(file=open(os.devnull, "w"))  # noqa: SIM115 - lives as long as the module


def teach(report, folder: Path) -> None:
    pretrain_tower(folder, seed=1, steps=30)


@pytest.mark.skipif(not torch.cpu._is_avx2_supported(), reason="numbers are the same where there is AVX2")
def test_weights_do_not_depend_on_the_kernels_that_the_processor_would_get(tmp_path, monkeypatch):
    """The variables imitate other processors: each alone changes the weights of a process without pinning."""
    found = []
    for number, kernels in enumerate(
        (
            {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "AVX2"},
            {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AUTO"},
        )
    ):
        for name, value in kernels.items():
            monkeypatch.setenv(name, value)
        folder = tmp_path / str(number)
        run_jobs([Job("tower", teach, (folder,))], workers=1, console=SILENT, log=tmp_path / "log")
        found.append(load_file(folder / "model.safetensors"))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0] | found[1])
