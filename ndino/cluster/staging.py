"""Downloads models and data sets to the folders that jobs on nodes without a network read."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ndino.common.errors import UserError, reason_of
from ndino.common.files import atomic_file
from ndino.common.parsing import parse_json
from ndino.formats.family import Baseline

LANGUAGE_MODEL = "meta-llama/Meta-Llama-3-8B"
VISION_TOWER = "openai/clip-vit-large-patch14-336"
# Six benchmarks; Table 7 of the paper also uses the answers of two of them.
DATA_SETS = (
    "swap-uniba/POPE_IT",
    "swap-uniba/OK-VQA_IT",
    "swap-uniba/SEED-Bench_IT",
    "swap-uniba/MTVQA_IT",
    "swap-uniba/EXAMS-V_IT",
    "swap-uniba/WILD_IT",
)
# The seventh, GQA-it, has its questions and images in two places. The file of human-checked questions is our
# choice: the released code names none.
GQA_QUESTIONS, GQA_QUESTIONS_FOLDER = (
    "https://github.com/crux82/gqa-it/raw/main/testdev3k_validated.json.gz",
    "crux82/gqa-it",
)
GQA_IMAGES, GQA_IMAGES_CONFIG = "lmms-lab/GQA", "testdev_balanced_images"
# Weights in other formats, which neither engine reads.
UNWANTED = ("original/*", "*.gguf", "*.msgpack", "*.h5", "tf_model*", "flax_model*", "*.onnx")


class StagingError(UserError):
    """A download failed; the message names it and the remedy."""


@dataclass(frozen=True)
class StagedRepository:
    """A hub repository, or one ``part`` (folder) of it, and the local folder it is downloaded to.

    The files of a part go to ``folder/data``. The repository's README is left out: it lists files that were
    not downloaded, and `datasets` would look for them.
    """

    source: str
    kind: str
    folder: Path
    part: str | None = None


@dataclass(frozen=True)
class QuestionFile:
    """The URL of a gzipped JSON list, and the folder that will hold only this file."""

    source: str
    folder: Path


def wanted(
    models: Path, benchmarks: Path, *, baselines: Iterable[Baseline], codes: Sequence[str]
) -> list[StagedRepository | QuestionFile]:
    """All that a family needs: the two backbones, the benchmarks under their hub names, the baselines.

    Baselines that are folders here are not downloaded.

    ``codes`` are those of the languages in which models are scored; only the benchmarks in Italian are on the
    hub, and the images of GQA, which serve all languages.
    """
    # Imported late: it loads the readers of answers, which help and most cluster commands need not wait for.
    from ndino.evaluation.tasks.framework.templates import TEMPLATE_CODE

    published = TEMPLATE_CODE in codes
    names = {name: models / name.split("/")[1] for name in (LANGUAGE_MODEL, VISION_TOWER)}
    names |= {each.hub_id: each.staged(models) for each in baselines if each.hub_id}
    return [
        *(StagedRepository(name, "model", folder) for name, folder in names.items()),
        *(StagedRepository(name, "dataset", benchmarks / name) for name in DATA_SETS if published),
        StagedRepository(GQA_IMAGES, "dataset", benchmarks / GQA_IMAGES, GQA_IMAGES_CONFIG),
        *([QuestionFile(GQA_QUESTIONS, benchmarks / GQA_QUESTIONS_FOLDER)] if published else []),
    ]


def fetch(item: StagedRepository | QuestionFile) -> None:
    """Download what is missing; a complete repository that exists already is updated.

    A folder gets its final name once it is complete. Interrupted downloads resume.

    Raises:
        StagingError: it cannot be reached or read.
    """
    there = item.folder.is_dir() and any(item.folder.iterdir())
    if isinstance(item, StagedRepository):
        if not there or item.part is None:
            _fetch_repository(item, there)
    elif not there:
        _fetch_questions(item)


def _fetch_repository(item: StagedRepository, there: bool) -> None:
    from huggingface_hub import HfApi, snapshot_download

    target = item.folder if there else item.folder.with_name(f"{item.folder.name}.partial")
    try:
        # Without a network, snapshot_download would accept an interrupted download as complete.
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
            "there is a network; for a gated model accept its licence on the hub and run hf auth login; or "
            f"copy {f'its {item.part} to {item.folder}/data' if item.part else f'it to {item.folder}'})"
        ) from error


def _only_part(target: Path, part: str) -> None:
    if not any((target / part).glob("*.parquet")):
        raise FileNotFoundError(f"there is no {part}/*.parquet")
    shutil.rmtree(target / "data", ignore_errors=True)
    os.replace(target / part, target / "data")
    shutil.rmtree(target / ".cache", ignore_errors=True)


def _fetch_questions(item: QuestionFile) -> None:
    from ndino.data.io.fetch import Fetcher, FetchError, Politeness

    try:
        with Fetcher(Politeness(f"ndino/{version('ndino')}", attempts=3)) as fetcher:
            content = fetcher.get(item.source)
        if not isinstance(parse_json(gzip.decompress(content)), list):
            raise ValueError("not a list of questions")
    except (FetchError, OSError, EOFError, ValueError) as error:
        raise StagingError(
            f"{item.source}: cannot be fetched: {reason_of(error)} (remedy: run this where there is a "
            f"network, or copy it to {item.folder})"
        ) from error
    with atomic_file(item.folder / Path(item.source).name) as temporary:
        temporary.write_bytes(content)
