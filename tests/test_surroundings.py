"""The way from rows to a report in hard surroundings: another locale, no rights, no home, an odd path."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from fixtures.tiny import write_tiny_model
from tests.evaluation.benchmarks import write_benchmarks
from tests.surroundings import latin1_locale, open_folder, user_without_rights

ROOT = Path(__file__).parents[1]
CODE = ("ndino", "launch", "evaluate_ppl.py")
RECIPE = """
prompt: plain
supervision: paper
trainable: projector
data: righe.jsonl
image_folder: immagini
learning_rate: 1.0e-3
vision_learning_rate: null
projector_learning_rate: null
effective_batch: 1
per_device_batch: 1
epochs: null
max_steps: 1
scheduler: cosine
warmup_ratio: 0.0
weight_decay: 0.0
adam_betas: [0.9, 0.95]
max_length: 512
grid_pinpoints: [[112, 112]]
vision_feature_layer: -2
gradient_checkpointing: false
precision: fp32
save_steps: 1
save_total_limit: 1
seed: 42
plain_ending: end_of_text
loader_workers: 0
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A checkout of root's whose path has spaces and accents; its ``lavoro`` belongs to the user."""
    with open_folder("la città è qui") as place:
        for name in CODE:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, place / name)
        (place / "casa").mkdir(mode=0o555)
        work = place / "lavoro"
        (work / "immagini" / "città").mkdir(parents=True)
        (work / "tmp").mkdir()
        Image.new("RGB", (80, 60), (200, 30, 30)).save(work / "immagini" / "città" / "perché.png")
        turns = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "Perché è così: −1 € 😀."}]
        row = {"id": "1", "image": "città/perché.png", "conversations": turns}
        (work / "righe.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
        (work / "ricetta.yaml").write_text(RECIPE, encoding="utf-8")
        write_tiny_model(work / "modello", seed=0)
        write_benchmarks(work / "dati", rows=2)
        for path in (work, *work.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.chown(path, user_without_rights().id, -1)
        yield place


def test_every_command_works_for_a_user_without_rights_under_a_latin_1_locale(place):
    locales = place / "locale"
    locales.mkdir()
    work, home, user = place / "lavoro", place / "casa", user_without_rights()
    environment = {
        **latin1_locale(locales),
        **{name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
        "HOME": str(home),
        "TMPDIR": str(work / "tmp"),
        "PYTHONPATH": str(place),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }

    def run(*command: str | Path) -> tuple[str, str]:
        done = subprocess.run(
            user.command(sys.executable, *command),
            cwd=work,
            env=environment,
            umask=0o022,
            capture_output=True,
        )
        printed, said = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
        assert done.returncode == 0, said
        assert said.count(" cannot be written, caches go to ") == 1
        assert f"caches go to {work / 'tmp' / f'ndino-cache-{user.id}'}" in said
        return printed, said

    printed, _ = run("-m", "ndino", "data", "check", "righe.jsonl", "--images", "immagini")
    assert "1 good rows" in printed and "0 faults" in printed
    printed, _ = run("-m", "ndino", "train", "ricetta.yaml", "--out", "prove/è", "--model", "modello")
    assert printed.splitlines()[-1] == "prove/è/model"
    asked = ["--data", "dati", "--tasks", "pope-it, mtvqa-it", "--limit", "4", "--out", "prove/eval"]
    printed, _ = run(
        *["-m", "ndino", "evaluate", "--model", "PRIMA=modello", "--model", "DOPO=prove/è/model"], *asked
    )
    assert "right − shuffled" in printed and "pope-it" in printed
    for name, model in {"PRIMA": "modello", "DOPO": "prove/è/model"}.items():
        out = f"prove/ppl/{name}/llava-bench-it.jsonl"
        data = ["--data", "dati/swap-uniba/WILD_IT", "--limit", "2", "--out", out]
        printed, _ = run(place / "evaluate_ppl.py", "--model", model, *data)
        assert "2 scored" in printed and "⋄" in printed
    printed, _ = run("-m", "ndino", "results", "compare", "prove", "--models", "PRIMA", "DOPO")
    assert "p =" in printed
    printed, _ = run("-m", "ndino", "results", "report", "prove", "--title", "Città")
    assert "prove/report/index.html" in printed
    assert "Città" in (work / "prove" / "report" / "index.html").read_text(encoding="utf-8")

    assert list(home.iterdir()) == []
    written = [path for path in (work / "prove").rglob("*") if not path.is_symlink()]
    assert {path.stat().st_mode & 0o777 for path in written if path.is_dir()} == {0o755}
    odd = [path for path in written if path.is_file() and path.stat().st_mode & 0o777 != 0o644]
    assert odd == []
