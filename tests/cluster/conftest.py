"""The private cluster, and a site on it: backbones, data and recipes of a few steps."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ndino.formats.recipes import load_recipe
from tests.cluster.slurm import Slurm, missing
from tests.ranks import free_port
from tests.train.conftest import Backbones, backbones, rows  # noqa: F401

ROOT = Path(__file__).parents[2]
RECIPES = ("mlp", "pt", "it", "long", "mix")
LONG_PART = "NDINO_TEST_SLURM"


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    if reason := missing():
        pytest.skip(reason)
    # A socket's path must be short, pytest's folders are not.
    with tempfile.TemporaryDirectory(prefix="ndino-slurm-") as folder:
        cluster = Slurm(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def long_part() -> None:
    """Skips what takes minutes, unless it was asked for."""
    if os.environ.get(LONG_PART) != "1":
        pytest.skip("takes minutes (make test-slurm runs it)")


@dataclass
class Site:
    """A user's place on the cluster: settings for the scripts, and the folder that they write to."""

    folder: Path
    slurm: Slurm | None
    settings: dict[str, str]

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def recipes(self) -> Path:
        return self.folder / "recipes"

    def change(self, recipe: str, **fields) -> None:
        path = self.recipes / f"{recipe}.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields))

    def call(self, *command: str, **settings: str) -> subprocess.CompletedProcess:
        """Run a script of launch/ as on the login node."""
        environment = {**os.environ, **self.settings, **settings}
        if self.slurm:
            environment |= self.slurm.environment
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    def sbatch(self, script: str, *arguments: str, options: tuple[str, ...] = (), **settings: str) -> str:
        """Submit a script as a user does; returns the job's number."""
        settings = {"MASTER_PORT": str(free_port()), **settings}
        done = self.call("sbatch", "--parsable", *self.options, *options, script, *arguments, **settings)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @property
    def options(self) -> tuple[str, ...]:
        return ("--nodes=2", "--gres=gpu:1", "--cpus-per-task=1", f"--output={self.folder}/%x-%j.log")

    def log(self, job: str) -> str:
        # Two nodes write to it at once, in the middle of a progress bar's characters, too.
        return "\n".join(path.read_text(errors="replace") for path in self.folder.glob(f"*-{job}.log"))

    def manifest(self, run: str) -> dict:
        return json.loads((self.runs / run / "manifest.json").read_text())


def make_site(folder: Path, backbones: Backbones, rows: Path, slurm: Slurm | None) -> Site:  # noqa: F811
    (folder / "recipes").mkdir(parents=True)
    for name in RECIPES:
        recipe = load_recipe(ROOT / f"launch/recipes/{name}.yaml", ROOT / "miniature/recipes.yaml")
        recipe = dataclasses.replace(
            recipe,
            data=str(rows / "rows.jsonl"),
            image_folder=str(rows / "images"),
            max_steps=4,
            save_steps=100,
            effective_batch=4,
            per_device_batch=2,
        )
        fields = json.loads(json.dumps(dataclasses.asdict(recipe)))
        del fields["name"]
        (folder / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    shutil.copy(ROOT / "launch/recipes/family.yaml", folder / "recipes")
    empty = folder / "cluster.env"
    empty.write_text("")
    settings = {
        "CLUSTER_ENV": str(empty),
        "ENGINE": "native",
        "DISTRIBUTED": "ddp",
        "DEVICE": "cpu",
        "RUNS": str(folder / "runs"),
        "FAMILY": str(folder / "recipes" / "family.yaml"),
        "LANGUAGE_MODEL": str(backbones.language_model),
        "VISION_TOWER": str(backbones.vision_tower),
        "NODES": "2",
        "GPUS_PER_NODE": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    return Site(folder, slurm, settings)


@pytest.fixture
def site(tmp_path, backbones, rows, slurm) -> Site:  # noqa: F811
    return make_site(tmp_path, backbones, rows, slurm)


@pytest.fixture
def login(tmp_path, backbones, rows) -> Site:  # noqa: F811
    """A site without a cluster: what a login node refuses before anything is submitted."""
    return make_site(tmp_path, backbones, rows, None)
