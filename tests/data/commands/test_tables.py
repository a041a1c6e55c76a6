"""The paper's Tables 1, 2 and 4 from manifests."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from ndino.common.files import write_json
from ndino.data.commands.tables import PaperTable, as_csv, data_tables, latex, markdown
from ndino.data.framework.shards import DataError
from tests.commands import data as main


def manifest(folder: Path, source: str, counts: dict[str, int]) -> Path:
    content = {"source": source, "lang": "it", "counts": counts, "rows": {"sources": {}}, "files": {}}
    write_json(folder / "manifest.json", content)
    return folder


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    few = {"aokvqa/rows": 7, "aokvqa/instances": 9, "aokvqa/translated": 8}
    many = {"vqav2/rows": 10_000, "vqav2/instances": 30_000, "vqav2/translated": 29_000}
    return [
        manifest(tmp_path / "c1", "cauldron", many),
        manifest(tmp_path / "c2", "cauldron", few),
        manifest(tmp_path / "mtvqa", "mtvqa", {"mtvqa/train": 5, "mtvqa/test": 3}),
        manifest(tmp_path / "gqa", "gqa-it", {"gqa-it/test": 4}),
        manifest(tmp_path / "b", "benchmarks", {"pope/original": 9, "pope/translated": 6}),
        manifest(tmp_path / "wit", "wit", {"wit/rows": 1}),
    ]


def test_the_three_tables(folders):
    one, two, four = data_tables(folders)
    assert one.rows == (
        ("aokvqa", 7, 9, 8),
        ("vqav2", 10_000, 30_000, 29_000),
        ("Total", 10_007, 30_009, 29_008),
    )
    assert two.rows == (("mtvqa", 5, 3),)
    assert four.header == ("Dataset", "# Original", "# IT MT")
    assert four.rows == (("pope", 9, 6), ("gqa-it", 4, ""))
    assert [table.name for table in data_tables(folders[2:3])] == ["table-2"]


def test_printed_and_written_in_three_forms(folders, tmp_path, capsys):
    out = tmp_path / "tables"
    assert main(["tables", *map(str, folders), "--out", str(out)]) == 0
    assert "| vqav2 | 10,000 | 30,000 | 29,000 |" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        f"table-{number}.{suffix}" for number in (1, 2, 4) for suffix in ("csv", "md", "tex")
    ]
    assert main(["tables", str(folders[-1])]) == 1
    assert main(["tables", str(tmp_path)]) == 1
    assert "no manifest.json" in capsys.readouterr().err


def test_special_characters_are_escaped():
    table = PaperTable("t", "50 % & more", ("a_b", "#"), (('x, "y"', 1000),))
    assert list(csv.reader(io.StringIO(as_csv(table)))) == [["a_b", "#"], ['x, "y"', "1000"]]
    assert "a\\_b & \\# \\\\" in latex(table) and "50 \\% \\& more" in latex(table)
    assert '| x, "y" | 1,000 |' in markdown(table)


def test_a_folder_without_a_manifest(tmp_path):
    with pytest.raises(DataError, match="give finished data folders"):
        data_tables([tmp_path])


@pytest.mark.parametrize("key", ["source", "lang"])
def test_a_manifest_that_counts_nothing(folders, key):
    file = folders[0] / "manifest.json"
    whole = json.loads(file.read_text())
    write_json(file, {name: value for name, value in whole.items() if name != key})
    with pytest.raises(DataError, match=f"{file}: no usable source, lang or counts"):
        data_tables(folders)
    write_json(file, whole | {"counts": {"a/rows": None}})
    with pytest.raises(DataError, match=f"{file}: no usable source, lang or counts"):
        data_tables(folders)


def test_other_folders_have_no_table(folders):
    with pytest.raises(DataError, match="no folder holds The Cauldron"):
        data_tables(folders[-1:])
