"""Folders that hold a data set as the hub lays it out: Parquet files, and a README that names the splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.files import fingerprint, write_text

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


def content_key(folder: Path) -> str:
    """Identity of all that lies in ``folder``, 32 digits."""
    return fingerprint(folder, ("**/*",))


def load_folder(folder: Path, *, split: str | None = None) -> Dataset | DatasetDict:
    """``datasets.load_dataset`` of a local folder, as it is now.

    ``datasets`` by itself takes a folder for unchanged as long as its last name and its README are, and gives
    the rows of its first reading. Raises what ``load_dataset`` raises.
    """
    from datasets import config, load_dataset

    cache = Path(config.HF_DATASETS_CACHE, content_key(folder))
    return load_dataset(str(folder), split=split, cache_dir=str(cache))


def write_split(
    folder: Path,
    split: str,
    rows: Sequence[Mapping[str, Any]],
    types: Mapping[str, Any],
    *,
    config: str = "default",
) -> None:
    """Write a data set of one split; ``types`` are its columns with their `datasets` features."""
    from datasets import Dataset, Features

    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: [row[name] for row in rows] for name in types}
    Dataset.from_dict(columns, features=Features(types)).to_parquet(folder / f"{split}.parquet")
    header = f"- config_name: {config}\n  data_files:\n  - split: {split}\n    path: {split}.parquet\n"
    write_text(folder / "README.md", f"---\nconfigs:\n{header}---\n")
