"""Parquet whose columns have other types than the source's: rejects or one line, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from ndino.data.sources import benchmarks, cauldron
from tests.commands import data as main
from tests.data.samples.benchmark_samples import write_benchmark_sources
from tests.data.samples.cauldron_samples import draw_image, row, write_task
from tests.data.samples.native_samples import write_exams, write_gqa, write_mtvqa
from tests.data.samples.wit_tables import png
from tests.data.samples.wit_tables import row as wit_row
from tests.data.translation.translators.marked import Marked, marked_translation

ODD: tuple[Any, ...] = (7, b"\xff", ["x"], [None], [{"a": 1}])
# What the text of a damaged file may be.
NO_UTF8 = pyarrow.array([b"\xff\xfe"]).view(pyarrow.string())


def of_the_cauldron(folder: Path) -> tuple[Path, list[str]]:
    write_task(folder, "vqav2", [row([draw_image(1)], [("What is it?", "A sign.")], "vqav2")])
    return next(folder.rglob("*.parquet")), ["cauldron", "--source", str(folder), "--tasks", "vqav2"]


def of_a_benchmark(name: str, repository: str) -> Callable[[Path], tuple[Path, list[str]]]:
    def made(folder: Path) -> tuple[Path, list[str]]:
        write_benchmark_sources(folder)
        command = ["benchmarks", "--source", str(folder), "--only", name]
        return next((folder / repository).rglob("*.parquet")), command

    return made


def of_mtvqa(folder: Path) -> tuple[Path, list[str]]:
    write_mtvqa(folder)
    command = ["native", "mtvqa", "--source", str(folder), "--split", "train"]
    return next(folder.rglob("train-*.parquet")), command


def of_exams(folder: Path) -> tuple[Path, list[str]]:
    write_exams(folder)
    command = ["native", "exams-v", "--source", str(folder), "--split", "train"]
    return next(folder.rglob("train-*.parquet")), command


def of_gqa(folder: Path) -> tuple[Path, list[str]]:
    questions, images = write_gqa(folder)
    command = ["native", "gqa-it", "--source", str(images), "--questions", str(questions)]
    return next(images.rglob("*.parquet")), command


def of_wit(folder: Path, *, nested: bool = False) -> tuple[Path, list[str]]:
    page = wit_row()
    image = {"image": {"bytes": png(1), "path": None}, "image_url": page.pop("image_url")}
    record = image | ({"wit_features": [page]} if nested else page)
    folder.mkdir(exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist([record]), folder / "a.parquet")
    return folder / "a.parquet", ["wit", str(folder / "a.parquet")]


def of_text(folder: Path) -> tuple[Path, list[str]]:
    folder.mkdir(exist_ok=True)
    record = {"instruction": "Che cosa vedi?", "input": "", "output": "Un cane."}
    record |= {"system": "", "messages": None, "image": None}
    parquet.write_table(pyarrow.Table.from_pylist([record]), folder / "a.parquet")
    return folder / "a.parquet", ["text", "--source", str(folder)]


SOURCES = {
    "cauldron": of_the_cauldron,
    "ok-vqa": of_a_benchmark("ok-vqa", "OK-VQA"),
    "seed-bench": of_a_benchmark("seed-bench", "SEED-Bench"),
    "llava-bench": of_a_benchmark("llava-bench", "llava-bench-in-the-wild"),
    "mtvqa": of_mtvqa,
    "exams-v": of_exams,
    "gqa-it": of_gqa,
    "wit": of_wit,
    "wit of pages": lambda folder: of_wit(folder, nested=True),
    "text": of_text,
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_column_of_another_type(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (cauldron, benchmarks):
        monkeypatch.setattr(
            module, "open_translation", lambda args, memory: marked_translation(memory.parent)
        )
        monkeypatch.setattr(module, "translation_identity", lambda args: Marked().identity)
    path, command = SOURCES[source](tmp_path / "source")
    whole = parquet.read_table(path).slice(0, 1)
    if source in ("mtvqa", "exams-v"):  # the first row is in another language
        whole = parquet.read_table(path).slice(1, 1)
    for place, name in enumerate(whole.column_names):
        for number, odd in enumerate([*ODD, NO_UTF8]):
            values = odd if isinstance(odd, pyarrow.Array) else pyarrow.array([odd])
            parquet.write_table(whole.set_column(place, name, values), path)
            out = tmp_path / f"{place}-{number}"
            code = main([*command, "--out", str(out)])
            said = capsys.readouterr()
            if code and not (out / "rejects.jsonl").is_file():
                assert said.err.count("(remedy: ") == 1, (name, odd, said)
            else:
                rows = "".join((out / name).read_text() for name in ("rejects.jsonl", "data.jsonl"))
                rows = rows.splitlines()
                assert all(isinstance(json.loads(line), dict) for line in rows), (name, odd)
