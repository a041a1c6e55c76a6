"""Data sets in the hub's folder layout: Parquet files and a README whose header names the splits."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.files import atomic_file, combined, digest_of, files_below, require_open, write_text

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


def content_key(folder: Path) -> str:
    """Identity of everything in ``folder``, names and content, as 32 hexadecimal digits.

    What lies behind links counts; hidden files do not, since no reader takes them for data.
    """
    require_open(folder)
    return combined({path.relative_to(folder): digest_of(path) for path in files_below(folder)})


def load_folder(folder: Path, *, split: str | None = None) -> Dataset | DatasetDict:
    """``datasets.load_dataset`` of a local folder, with its present content; raises what that raises."""
    # The cache of `datasets` recognises a local folder by its last name and its README alone: after the
    # Parquet files have changed it would still return the old rows. So each content gets a cache of its own.
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
    """Write a data set of one split to ``folder``.

    Args:
        types: the columns by name, with their `datasets` features; other keys of a row are ignored.
        config: name of the configuration in the README.
    """
    from datasets import Dataset, Features

    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: [row[name] for row in rows] for name in types}
    Dataset.from_dict(columns, features=Features(types)).to_parquet(folder / f"{split}.parquet")
    _write_readme(folder, split, config)


def stream_split(
    folder: Path,
    split: str,
    rows: Iterable[Mapping[str, Any]],
    types: Mapping[str, Any],
    *,
    config: str = "default",
    rows_at_once: int = 100,
) -> int:
    """As `write_split`, with at most ``rows_at_once`` rows in memory; returns the number of rows.

    Images are ``{"bytes": ..., "path": None}``. The file is written atomically.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    schema = Features(types).arrow_schema
    count, remaining = 0, iter(rows)
    with atomic_file(folder / f"{split}.parquet") as temporary, pq.ParquetWriter(temporary, schema) as file:
        while batch := list(itertools.islice(remaining, rows_at_once)):
            columns = [{name: row[name] for name in types} for row in batch]
            file.write_table(pa.Table.from_pylist(columns, schema=schema))
            count += len(batch)
    _write_readme(folder, split, config)
    return count


def _write_readme(folder: Path, split: str, config: str) -> None:
    header = f"- config_name: {config}\n  data_files:\n  - split: {split}\n    path: {split}.parquet\n"
    write_text(folder / "README.md", f"---\nconfigs:\n{header}---\n")
