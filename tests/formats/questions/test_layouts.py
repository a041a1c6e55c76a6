"""One reader: every layout gives the same questions and images to every command."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ndino.common.errors import UserError
from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.perplexity.answer_sets import read_items
from ndino.formats.questions.layout import split_files
from ndino.formats.questions.table import read_questions
from tests.formats.questions.layouts import ANSWERS, LAYOUTS, ROWS, encoded


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_alike_by_every_command(layout, tmp_path, monkeypatch):
    folder = tmp_path / "swap-uniba" / "MTVQA_IT"
    LAYOUTS[layout](folder)
    found = read_questions(folder, None if layout == "saved" else "test")
    assert [found.encoded_image(row) for row in range(len(found))] == [encoded(i) for i in range(4)]
    assert {name: found[name] for name in ("id", "question", "answer")} == {
        name: [row[name] for row in ROWS] for name in ("id", "question", "answer")
    }
    items = read_items(str(folder), split=None if layout == "saved" else "test")
    assert [(item.id, item.question, item.answer, item.fault) for item in items] == [
        (row["id"], row["question"], row["answer"], None) for row in ROWS
    ]
    assert [item.image() for item in items] == [encoded(i) for i in range(4)]
    if layout == "saved":
        return  # one split without a name: what it holds is for the reader to know
    monkeypatch.chdir(tmp_path)
    benchmarks = Benchmarks(["mtvqa-it"], data=tmp_path)
    benchmarks.load()
    task = benchmarks.task("mtvqa-it")
    assert [task.target(row) for row in range(len(task))] == list(ANSWERS)
    assert benchmarks.image_sizes("mtvqa-it") == [(8, 8 + index) for index in range(4)]


def test_a_split_is_its_name_or_its_shards_exactly(tmp_path):
    LAYOUTS["jsonl"](tmp_path)
    for other in ("test-old.jsonl", "test_2.jsonl", "mytest.jsonl", "test-00000.jsonl"):
        (tmp_path / other).write_text(json.dumps(ROWS[0]))
    assert [path.name for path in split_files(tmp_path, "test").files] == ["test.jsonl"]


def test_macos_notes_are_left_out_with_the_reason(tmp_path):
    LAYOUTS["jsonl"](tmp_path)
    (tmp_path / "._test.jsonl").write_bytes(b"\0\5\x16\7")
    found = read_questions(tmp_path, "test")
    assert len(found) == len(ROWS)
    assert found.notes == (f"{tmp_path / '._test.jsonl'}: left out: it is macOS's own note on a file",)


def test_metadata_beside_a_file_of_the_split_are_named(tmp_path):
    LAYOUTS["jsonl"](tmp_path)
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, ROWS * 3)))
    found = read_questions(tmp_path, "test")
    assert len(found) == len(ROWS)
    assert found.notes == (f"{tmp_path / 'metadata.jsonl'}: left out: it is not read beside test.jsonl",)


ROW = json.dumps({"image": "a.png", "question": "?", "answer": "sì"})
FAULTS = {
    "nothing": (
        {},
        r"has no file of rows, .jsonl, .jsonl.gz, .json, .json.gz, .csv, .csv.gz, .parquet \(remedy",
    ),
    "others": ({"a.jsonl": ROW, "b.jsonl": ROW}, r"which of a.jsonl, b.jsonl is the split test\?"),
    "twice": (
        {"test.jsonl": ROW, "test.parquet": ""},
        "holds the split test twice, in test.jsonl, test.parquet",
    ),
    "and zipped": ({"test.jsonl": ROW, "test.jsonl.gz": ""}, "holds the split test twice"),
    "in two places": ({"test.jsonl": ROW, "data/test.jsonl": ROW}, "twice, in test.jsonl, data/test.jsonl"),
    "two metadata": (
        {"metadata.jsonl": ROW, "test/metadata.jsonl": ROW},
        "holds the split test twice, in metadata.jsonl, test/metadata.jsonl",
    ),
    **{
        f"only {other}": (
            {name: ROW},
            f"{name} is the split {other}, not test .remedy: add the split test, or rename {other} if it is",
        )
        for other, name in {
            "train": "train.jsonl",
            "validation": "data/validation-00000-of-00001.jsonl",
            "val": "val.json",
            "dev": "dev/metadata.jsonl",
        }.items()
    },
    "and shards": ({"test.jsonl": ROW, "test-00000-of-00001.jsonl": ROW}, "holds the split test twice"),
    "shard missing": ({"test-00001-of-00002.jsonl": ROW}, "shard 00000 of 00002 is missing"),
    "two writings": (
        {"test-00000-of-00001.jsonl": ROW, "test-00000-of-00002.jsonl": ROW},
        "are shards of two writings",
    ),
    "no rows": ({"test.jsonl": "\n"}, "test.jsonl: holds no rows"),
    "broken list": ({"test.json": f"[{ROW},\n{{]"}, "test.json row 2: broken JSON"),
    "half a list": ({"test.json": f"[{ROW}, {ROW}"}, "test.json row 2: broken JSON"),
    "UTF-16": ({"test.jsonl": ROW.encode("utf-16")}, r"is UTF-16 text \(remedy: save it as UTF-8\)"),
    "no gzip": ({"test.jsonl.gz": ROW}, "test.jsonl.gz: cannot be read: Not a gzipped file"),
    "half a gzip": ({"test.jsonl.gz": gzip.compress(ROW.encode() * 99)[:40]}, "cannot be read: "),
    "no parquet": ({"test.parquet": "PAR1"}, "test.parquet: cannot be read: "),
    "README without files": (
        {"README.md": "---\nconfigs:\n- data_files:\n  - split: test\n    path: data/*\n---\n"},
        "README.md names data/. for the split test, and no file is there",
    ),
    "README with another": (
        {
            "README.md": "---\nconfigs:\n- data_files:\n  - split: dev\n    path: a.jsonl\n---\n",
            "a.jsonl": ROW,
        },
        r"has no split test \(remedy: one of dev\)",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_cannot_be_read_is_refused_by_every_command_in_the_same_words(case, tmp_path, monkeypatch):
    files, message = FAULTS[case]
    folder = tmp_path / "swap-uniba" / "MTVQA_IT"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    said = []
    for read in (read_questions, lambda folder, split: read_items(str(folder), split=split)):
        with pytest.raises(UserError, match=message) as refused:
            read(folder, "test")
        said.append(str(refused.value))
    if files:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError) as refused:
            Benchmarks(["mtvqa-it"], data=tmp_path).load()
        said.append(str(refused.value).removeprefix("task mtvqa-it: "))
    assert len(set(said)) == 1 and "\n" not in said[0] and "(remedy: " in said[0]


BAD_ROWS = {
    "broken JSON": ('{"id": ', "broken JSON"),
    "a key twice": (
        '{"id": "1", "question": "A?", "question": "B?"}',
        "broken JSON: the key 'question' is given",
    ),
    "no object": ("[1]", "is no JSON object"),
    "mixed kinds": ({"answer": {"testo": "4"}}, "answer is {'testo': '4'}, not a text"),
    "a number": ({"answer": 4}, "answer is 4, not a text"),
    "empty answer": ({"answer": ""}, "answer is empty"),
    "empty question": ({"question": " "}, "question is empty"),
    "invisible question": ({"question": "\u200b\u00a0\ufeff\u0007"}, "question is empty"),
    "invisible answer": ({"answer": "\u2060"}, "answer is empty"),
    "half a pair": ({"question": "a\ud83d?"}, "question is no Unicode"),
    "no image": ({"image": None}, "image is empty"),
    "missing image": ({"image": "none.png"}, "image none.png is not in "),
    "two names": ({"file_name": "b.png"}, "image is a.png and file_name is b.png"),
    "a list": ({"image": ["a.png"]}, "image is ['a.png'], neither an image nor a file's name"),
    "no image file": ({"image": "text.png"}, "image cannot be read"),
    "truncated": ({"image": "cut.png"}, "image cannot be read"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_row_that_cannot_be_asked_or_scored_is_named_by_every_command(case, tmp_path, monkeypatch):
    change, reason = BAD_ROWS[case]
    folder = tmp_path / "swap-uniba" / "MTVQA_IT"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(encoded(0))
    (folder / "text.png").write_text("<html>404</html>")
    (folder / "cut.png").write_bytes(noise()[:-600])
    good = {"image": "a.png", "question": "?", "answer": "sì"}
    bad = change if isinstance(change, str) else json.dumps({**good, **change})
    (folder / "test.jsonl").write_text("\n".join([json.dumps(good), "", bad, json.dumps(good)]))
    first, skipped, last = read_items(str(folder))
    assert first.fault is last.fault is None
    said = str(skipped.fault)
    assert f"{folder / 'test.jsonl'} row 3" in said and said.removeprefix(
        "image cannot be read: "
    ).startswith(reason.removeprefix("image cannot be read"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        Benchmarks(["mtvqa-it"], data=tmp_path).load()
    said = str(refused.value)
    assert said.startswith(f"task mtvqa-it: {folder / 'test.jsonl'} row 3: {reason}")
    assert "row 1" not in said and "row 4" not in said


def noise() -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.effect_noise((60, 60), 50).save(file, "PNG")
    return file.getvalue()


def test_a_column_of_unequal_kinds_that_nobody_asks_for_does_no_harm(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(0))
    rows = [{"image": "a.png", "question": "?", "answer": "sì", "meta": meta} for meta in ([], [1, "a"], 3)]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read_questions(tmp_path, "test")["meta"] == [[], [1, "a"], 3]
    assert [item.fault for item in read_items(str(tmp_path))] == [None] * 3


def test_images_behind_links_are_part_of_the_identity(tmp_path):
    from ndino.formats.hub_folders import content_key

    disk, data = tmp_path / "disk", tmp_path / "data" / "swap-uniba" / "MTVQA_IT"
    (disk / "images").mkdir(parents=True)
    data.mkdir(parents=True)
    (data / "images").symlink_to(disk / "images")
    (data / "loop").symlink_to(data)
    for index in range(4):
        (disk / "images" / f"{index}.png").write_bytes(encoded(index))
    (data / "test.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    before = content_key(data), read_questions(data, "test").digest()
    assert before == (content_key(data), read_questions(data, "test").digest())
    (disk / "images" / "2.png").write_bytes(encoded(9))
    after = content_key(data), read_questions(data, "test").digest()
    assert before[0] != after[0] and before[1] != after[1]
    # The rows themselves behind a link.
    (disk / "rows").mkdir()
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "data").symlink_to(disk / "rows")
    (tmp_path / "hub" / "images").symlink_to(disk / "images")
    found = set()
    for rows in (ROWS, ROWS[::-1]):
        pq.write_table(pa.Table.from_pylist(rows), disk / "rows" / "test-00000-of-00001.parquet")
        found.add((content_key(tmp_path / "hub"), read_questions(tmp_path / "hub", "test").digest()))
    assert len({key for key, _ in found}) == len({digest for _, digest in found}) == 2


@pytest.mark.parametrize("named", ["absolute", "above"])
def test_images_outside_the_folder_are_part_of_a_tasks_identity(named, tmp_path, monkeypatch):
    data, outside = tmp_path / "data", tmp_path / "elsewhere" / "a.png"
    folder = data / "swap-uniba" / "MTVQA_IT"
    folder.mkdir(parents=True)
    outside.parent.mkdir()
    outside.write_bytes(encoded(0))
    name = str(outside) if named == "absolute" else "../../../elsewhere/a.png"
    (folder / "test.jsonl").write_text(json.dumps({"image": name, "question": "?", "answer": "sì"}))
    monkeypatch.chdir(data)
    keys = [Benchmarks(["mtvqa-it"], data=data).data_key("mtvqa-it")]
    outside.write_bytes(encoded(1))
    keys.append(Benchmarks(["mtvqa-it"], data=data).data_key("mtvqa-it"))
    assert keys[0] != keys[1]


def test_a_parquet_image_is_read_from_any_row_in_any_order(tmp_path, monkeypatch):
    from ndino.formats.questions import rows

    monkeypatch.setattr(rows, "KEPT_BYTES", 1)
    LAYOUTS["parquet of structs"](tmp_path)
    found = read_questions(tmp_path, "test")
    for row in (3, 0, 2, 3, 1):
        assert found.encoded_image(row) == encoded(row)


def test_a_single_file_of_another_name_is_the_split(tmp_path: Path):
    LAYOUTS["jsonl"](tmp_path)
    (tmp_path / "test.jsonl").rename(tmp_path / "testdev3k.jsonl")
    assert len(read_questions(tmp_path, "test")) == len(ROWS)
