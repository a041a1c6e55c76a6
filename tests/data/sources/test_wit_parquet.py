"""WIT as Parquet with the images in it."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from ndino.data.sources import wit_parquet
from tests.commands import data as main
from tests.data.samples.wit_tables import SVG, png, rejects_of, row, rows_of


def pages(*languages: str, **texts: str) -> list[dict]:
    taken = ("language", "page_url", "caption_reference_description", "context_section_description")
    return [{key: (row(language) | texts)[key] for key in taken} for language in languages]


def test_all_forms_of_parquet_with_images(tmp_path: Path) -> None:
    without = pages("it", caption_reference_description=None)
    records = [
        {"image": image, "image_url": f"http://x/{number}.png", "pages": shown_on}
        for number, (image, shown_on) in enumerate(
            [
                ({"bytes": png(1), "path": "1.png"}, pages("de", "it")),
                ({"bytes": png(2), "path": None}, pages("en")),
                ({"bytes": b"", "path": None}, pages("it")),
                (None, pages("it")),
                ({"bytes": SVG, "path": None}, pages("it", "it")),
                ({"bytes": png(6), "path": None}, without + pages("it")),
            ],
            start=1,
        )
    ]
    shared = [{"image": r["image"], "image_url": r["image_url"], "embedding": [0.5] * 8} for r in records]
    of_lists = [
        s | {"wit_features": {key: [page[key] for page in r["pages"]] for key in r["pages"][0]}}
        for s, r in zip(shared, records, strict=True)
    ]
    of_structures = [s | {"wit_features": r["pages"]} for s, r in zip(shared, records, strict=True)]
    found = {}
    for name, form in (("lists", of_lists), ("structures", of_structures)):
        path = tmp_path / name / "train-00000.parquet"
        path.parent.mkdir()
        parquet.write_table(pyarrow.Table.from_pylist(form), path, row_group_size=2)
        out = tmp_path / f"out-{name}"
        assert main(["wit", str(path), "--out", str(out)]) == 0
        found[name] = (rows_of(out), rejects_of(out))
    assert found["lists"] == found["structures"]
    rows, rejects = found["lists"]
    assert [(item["image_url"][-5], item["source"][4:]) for item in rows] == [
        ("1", "caption"), ("1", "section"), ("6", "section"), ("6", "caption")
    ]  # fmt: skip
    again = "same image and text as before"
    assert [(where[-1], reason) for where, reason in rejects] == [
        ("3", "no image in the table"),
        ("4", "no image in the table"),
        ("5", "image: it is SVG, a drawing without pixels"),
        ("5", f"caption: {again}"),
        ("5", f"section: {again}"),
        ("6", f"section: {again}"),
    ]


@pytest.mark.parametrize("form", ["lists", "structures"])
def test_parquet_in_batches(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wit_parquet, "BATCH_ROWS", 7)
    records = []
    for number in range(40):
        shown_on = pages(*random.Random(number).choices(["it", "de", "fr"], k=3))
        features = {key: [page[key] for page in shown_on] for key in shown_on[0]}
        features = None if number % 10 == 9 else features if form == "lists" else shown_on
        records.append(
            {"image": {"bytes": b"x"}, "image_url": f"http://x/{number}", "wit_features": features}
        )
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(records), path, row_group_size=25)
    found = wit_parquet.WitParquetTable(path, "it")
    numbers = [(row.row, row.fields["image_url"]) for row in found]
    expected = [
        (number + 1, f"http://x/{number}")
        for number in range(40)
        for language in random.Random(number).choices(["it", "de", "fr"], k=3)
        if language == "it" and number % 10 != 9
    ]
    assert numbers == expected
    assert (found.rows, found.passed) == (40, 40 - len(set(expected)))


def test_the_undamaged_rows_of_a_parquet_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    flat = [row(image_url=f"http://x/{number}") | {"image": png(number)} for number in range(60)]
    parquet.write_table(pyarrow.Table.from_pylist(flat), path, row_group_size=20)
    groups = parquet.ParquetFile(path).metadata
    begin, end = (groups.row_group(group).column(0).dictionary_page_offset for group in (1, 2))
    content = path.read_bytes()
    path.write_bytes(content[:begin] + b"\xff" * (end - begin) + content[end:])
    found = list(wit_parquet.WitParquetTable(path, "it"))
    assert [row.row for row in found] == [*range(1, 21), 21, *range(41, 61)]
    assert found[20].reason == "rows cannot be read" and found[20].text.startswith("to row 40: ")


def test_flat_parquet_and_one_that_lacks_columns(tmp_path: Path, capsys) -> None:
    flat = [
        row() | {"image": png(1), "original_width": 40},
        row("de") | {"image": png(2), "original_width": 40},
    ]
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(flat), path)
    assert main(["wit", str(path), "--out", str(tmp_path / "out")]) == 0
    assert len(rows_of(tmp_path / "out")) == 2
    parquet.write_table(pyarrow.Table.from_pylist([{"language": "it", "image_url": "x"}]), path)
    assert main(["wit", str(path), "--out", str(tmp_path / "other")]) == 1
    assert (
        "lacks caption_reference_description, context_section_description, image, page_url"
        in capsys.readouterr().err
    )
