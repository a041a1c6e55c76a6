"""The same four questions in every layout that is read."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

# A date in quotes and a number in quotes are texts, and stay what they are.
ANSWERS = ("2021-05-01", "3", "rosso", "sì")
ROWS = [
    {"id": str(i), "image": f"images/{i}.png", "question": f"Domanda {i}?", "answer": answer}
    for i, answer in enumerate(ANSWERS)
]


def encoded(index: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8 + index, 8), (50 * index, 90, 9)).save(file, "PNG")
    return file.getvalue()


def _draw(folder: Path, names: str = "images/{}.png") -> None:
    for index in range(len(ROWS)):
        path = folder / names.format(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(index))


def _lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _jsonl(folder: Path) -> None:
    _draw(folder)
    (folder / "test.jsonl").write_text(_lines(ROWS))


def _jsonl_gz(folder: Path) -> None:
    _draw(folder)
    (folder / "test.jsonl.gz").write_bytes(gzip.compress(_lines(ROWS).encode()))


def _json(folder: Path) -> None:
    _draw(folder)
    (folder / "test.json").write_text(json.dumps(ROWS, indent=2))


def _json_gz_in_data(folder: Path) -> None:
    _draw(folder)
    (folder / "data").mkdir()
    (folder / "data" / "test.json.gz").write_bytes(gzip.compress(json.dumps(ROWS).encode()))


def _bom_and_crlf(folder: Path) -> None:
    _draw(folder)
    (folder / "test.jsonl").write_bytes(b"\xef\xbb\xbf" + _lines(ROWS).replace("\n", "\r\n").encode())


def _csv(folder: Path, delimiter: str = ",") -> None:
    _draw(folder)
    with (folder / "test.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)


def _table(kind: str) -> pa.Table:
    values = {
        "structs": [{"bytes": encoded(i), "path": None} for i in range(len(ROWS))],
        "bytes": [encoded(i) for i in range(len(ROWS))],
        "paths": [row["image"] for row in ROWS],
        "structs_of_paths": [{"bytes": None, "path": row["image"]} for row in ROWS],
    }[kind]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {name: [row[name] for row in ROWS] for name in ("id", "question", "answer")}
    images = pa.array(values, struct) if kind.startswith("structs") else pa.array(values)
    return pa.table({**columns, "image": images})


def _parquet(kind: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        if "paths" in kind:
            _draw(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(_table(kind), folder / "test-00000-of-00001.parquet", row_group_size=3)

    return write


def _shards(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    table = _table("structs")
    pq.write_table(table.slice(0, 3), folder / "data" / "test-00000-of-00002.parquet")
    pq.write_table(table.slice(3), folder / "data" / "test-00001-of-00002.parquet")


def _hub(folder: Path) -> None:
    _shards(folder)
    header = "configs:\n- config_name: default\n  data_files:\n  - split: test\n    path: data/test-*\n"
    (folder / "README.md").write_text(f"---\nlicense: mit\n{header}---\n# A set\n")


def _parquet_in_a_folder(folder: Path) -> None:
    (folder / "test").mkdir(parents=True)
    pq.write_table(_table("structs"), folder / "test" / "0000.parquet")


def _imagefolder(folder: Path, beside: Path) -> None:
    _draw(beside, "{}.png")
    rows = [{**row, "file_name": f"{row['id']}.png"} for row in ROWS]
    for row in rows:
        del row["image"]
    (beside / "metadata.jsonl").write_text(_lines(rows))


def _dataset() -> Dataset:
    types = {"id": Value("string"), "question": Value("string"), "answer": Value("string")}
    rows = [{**row, "image": {"bytes": encoded(i), "path": None}} for i, row in enumerate(ROWS)]
    return Dataset.from_list(rows, features=Features({**types, "image": ImageFeature()}))


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "jsonl": _jsonl,
    "jsonl.gz": _jsonl_gz,
    "json": _json,
    "json.gz in data": _json_gz_in_data,
    "BOM and CRLF": _bom_and_crlf,
    "csv": _csv,
    "csv with semicolons": lambda folder: _csv(folder, ";"),
    **{f"parquet of {kind}": _parquet(kind) for kind in ("structs", "bytes", "paths", "structs_of_paths")},
    "shards": _shards,
    "hub": _hub,
    "parquet in a folder": _parquet_in_a_folder,
    "imagefolder": lambda folder: _imagefolder(folder, folder),
    "imagefolder with a split": lambda folder: _imagefolder(folder, folder / "test"),
    "saved splits": lambda folder: DatasetDict({"test": _dataset()}).save_to_disk(str(folder)),
    "saved": lambda folder: _dataset().save_to_disk(str(folder)),
}
