"""Models and data sets for nodes without a network: fetched where there is one, to folders that jobs read."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ndino.cluster.family import BASELINES
from ndino.common.errors import reason_of
from ndino.common.files import whole_file

LANGUAGE_MODEL = "meta-llama/Meta-Llama-3-8B"
VISION_TOWER = "openai/clip-vit-large-patch14-336"
# Six benchmarks, two of which Table 7 also takes its answers from.
DATA_SETS = (
    "swap-uniba/POPE_IT",
    "swap-uniba/OK-VQA_IT",
    "swap-uniba/SEED-Bench_IT",
    "swap-uniba/MTVQA_IT",
    "swap-uniba/EXAMS-V_IT",
    "swap-uniba/WILD_IT",
)
# The seventh is in two places. That its questions are the ones that people checked is our choice: the
# released code names no file.
GQA_QUESTIONS, GQA_QUESTIONS_FOLDER = (
    "https://github.com/crux82/gqa-it/raw/main/testdev3k_validated.json.gz",
    "crux82/gqa-it",
)
GQA_IMAGES, GQA_IMAGES_CONFIG = "lmms-lab/GQA", "testdev_balanced_images"
# Neither engine reads the weights that were saved beside the safetensors for other programs.
UNWANTED = ("original/*", "*.gguf", "*.msgpack", "*.h5", "tf_model*", "flax_model*", "*.onnx")


class StagingError(RuntimeError):
    """Something could not be fetched; the message names it and the remedy."""


@dataclass(frozen=True)
class Repository:
    """A repository of the hub, or one ``part`` of it, and the folder to fetch it to.

    A part's files come to lie in ``folder/data``. The repository's README stays away: it tells of files that
    are not there, and `datasets` would miss them.
    """

    source: str
    kind: str
    folder: Path
    part: str | None = None


@dataclass(frozen=True)
class Questions:
    """A compressed JSON list at an address, and the folder in which it is to be the only file."""

    source: str
    folder: Path


def wanted(models: Path, benchmarks: Path, *, baselines: tuple[str, ...]) -> list[Repository | Questions]:
    """What a family needs: its two starting points, its benchmarks under their hub names, its baselines."""
    names = [LANGUAGE_MODEL, VISION_TOWER, *(BASELINES[name][0] for name in baselines)]
    return [
        *(Repository(name, "model", models / name.split("/")[1]) for name in names),
        *(Repository(name, "dataset", benchmarks / name) for name in DATA_SETS),
        Repository(GQA_IMAGES, "dataset", benchmarks / GQA_IMAGES, GQA_IMAGES_CONFIG),
        Questions(GQA_QUESTIONS, benchmarks / GQA_QUESTIONS_FOLDER),
    ]


def fetch(item: Repository | Questions) -> None:
    """Download what is not there; a whole repository that is there is brought up to date.

    A folder appears once all of it is there, and a download that was cut off goes on.

    Raises:
        StagingError: it cannot be reached or read.
    """
    there = item.folder.is_dir() and any(item.folder.iterdir())
    if isinstance(item, Repository) and (not there or item.part is None):
        _fetch_repository(item, there)
    elif not there:
        _fetch_questions(item)


def _fetch_repository(item: Repository, there: bool) -> None:
    from huggingface_hub import HfApi, snapshot_download

    target = item.folder if there else item.folder.with_name(f"{item.folder.name}.partial")
    try:
        # Out of reach, snapshot_download would take the part of an earlier download for the whole.
        commit = None if there else HfApi().repo_info(item.source, repo_type=item.kind).sha
        snapshot_download(
            item.source,
            repo_type=item.kind,
            revision=commit,
            local_dir=target,
            allow_patterns=f"{item.part}/*" if item.part else None,
            ignore_patterns=list(UNWANTED),
        )
        if item.part:
            _only_part(target, item.part)
        if not there:
            os.replace(target, item.folder)
    except Exception as error:
        raise StagingError(
            f"{item.source}: cannot be fetched: {reason_of(error)} (remedy: run this where "
            "the network is; for a gated model accept its licence on the hub and run hf auth login; or "
            f"copy {f'its {item.part} to {item.folder}/data' if item.part else f'it to {item.folder}'})"
        ) from error


def _only_part(target: Path, part: str) -> None:
    if not any((target / part).glob("*.parquet")):
        raise FileNotFoundError(f"there is no {part}/*.parquet")
    shutil.rmtree(target / "data", ignore_errors=True)
    os.replace(target / part, target / "data")
    shutil.rmtree(target / ".cache", ignore_errors=True)


def _fetch_questions(item: Questions) -> None:
    from ndino.data.io.fetch import Fetcher, FetchError, Politeness

    try:
        with Fetcher(Politeness(f"ndino/{version('ndino')}", attempts=3)) as fetcher:
            content = fetcher.get(item.source)
        if not isinstance(json.loads(gzip.decompress(content)), list):
            raise ValueError("is no list of questions")
    except (FetchError, OSError, EOFError, ValueError) as error:
        raise StagingError(
            f"{item.source}: cannot be fetched: {reason_of(error)} (remedy: run this where the network is, "
            f"or copy it to {item.folder})"
        ) from error
    with whole_file(item.folder / Path(item.source).name) as temporary:
        temporary.write_bytes(content)
