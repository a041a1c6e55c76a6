"""Models and data sets for nodes without a network: fetched where there is one, to folders that jobs read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ndino.cluster.family import BASELINES
from ndino.errors import reason_of

LANGUAGE_MODEL = "meta-llama/Meta-Llama-3-8B"
VISION_TOWER = "openai/clip-vit-large-patch14-336"
# The six benchmarks that have a home on the hub (GQA-it's questions are on none), and the sets of Table 7.
DATA_SETS = (
    "swap-uniba/POPE_IT",
    "swap-uniba/OK-VQA_IT",
    "swap-uniba/SEED-Bench_IT",
    "swap-uniba/MTVQA_IT",
    "swap-uniba/EXAMS-V_IT",
    "swap-uniba/WILD_IT",
)
# Neither engine reads the weights that were saved beside the safetensors for other programs.
UNWANTED = ("original/*", "*.gguf", "*.msgpack", "*.h5", "tf_model*", "flax_model*", "*.onnx")


class StagingError(RuntimeError):
    """Something could not be fetched; the message names it and the remedy."""


@dataclass(frozen=True)
class Wanted:
    """A repository of the hub and the folder to fetch it to."""

    repository: str
    kind: str
    folder: Path


def wanted(models: Path, benchmarks: Path, *, baselines: tuple[str, ...]) -> list[Wanted]:
    """What a family needs: its two starting points, its benchmarks under their hub names, its baselines."""
    names = [LANGUAGE_MODEL, VISION_TOWER, *(BASELINES[name][0] for name in baselines)]
    return [
        *(Wanted(name, "model", models / name.split("/")[1]) for name in names),
        *(Wanted(name, "dataset", benchmarks / name) for name in DATA_SETS),
    ]


def fetch(item: Wanted) -> None:
    """Download a repository; what is there and unchanged is not downloaded again.

    Raises:
        StagingError: it cannot be reached or read.
    """
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(
            item.repository, repo_type=item.kind, local_dir=item.folder, ignore_patterns=list(UNWANTED)
        )
    except Exception as error:
        raise StagingError(
            f"{item.repository}: cannot be fetched: {reason_of(error).splitlines()[0]} (remedy: run this "
            "where the network is; for a gated model accept its licence on the hub and run hf auth login; or "
            f"copy it to {item.folder})"
        ) from error
