"""Checking a data set: every fault with its row, images decoded in several processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.common.errors import UsageError
from ndino.data.commands.check import check
from tests.commands import data as main
from tests.data.framework import toy
from tests.properties import examples

GOOD = toy.row("good", "toy")


def write(folder: Path, *rows: dict | str) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "data.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def faults_of(folder: Path) -> list[tuple[int, str]]:
    return check(folder / "data.jsonl", folder / "images").faults


def test_a_good_set_passes(finished, capsys):
    assert main(["check", str(finished)]) == 0
    said = capsys.readouterr()
    assert "60 good rows, 120 turns, " in said.out and "0 faults" in said.out


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{torn", "broken JSON"),
        ({**GOOD, "id": ""}, "no id"),
        ({**GOOD, "conversations": []}, "no conversations"),
        ({**GOOD, "conversations": GOOD["conversations"][:1]}, "the last message is from human"),
        ({**GOOD, "conversations": GOOD["conversations"][::-1]}, "message 1 is from gpt"),
        ({**GOOD, "conversations": [{"from": "system", "value": "x"}]}, "message 1 is from 'system'"),
        ({**GOOD, "image": "a.png"}, "0 <image> but 1 image(s)"),
        (toy.row("x", "toy", "gone.png"), "image gone.png is not in"),
        (toy.row("x", "toy", "../toy.png"), "outside the image folder"),
        (toy.row("x", "toy", "/etc/hostname"), "outside the image folder"),
        ({**GOOD}, "id 'good' is also the id of row 1"),
    ],
)
def test_each_fault_is_printed_with_its_row(tmp_path, row, said, capsys):
    write(tmp_path, GOOD, row, toy.row("after", "toy"))
    assert main(["check", str(tmp_path), "--workers", "1"]) == 1
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    assert line.endswith(")") and line.count("(remedy: ") == 1
    assert line.startswith(f"{tmp_path / 'data.jsonl'} row 2: ") and said in line
    assert "2 good rows, " in printed.err and "1 faults" in printed.err


def test_images_are_decoded_fully_and_every_row_of_a_bad_one_is_named(tmp_path):
    write(tmp_path, *(toy.row(f"{number}", "toy", f"{number % 2}.png") for number in range(4)))
    whole = toy.draw_image(0)
    (tmp_path / "images" / "0.png").write_bytes(whole)
    (tmp_path / "images" / "1.png").write_bytes(whole[:-20])
    assert [row for row, _ in faults_of(tmp_path)] == [2, 4]
    assert check(tmp_path / "data.jsonl", tmp_path / "images").rows == 2, "rows 2 and 4 are not good"
    assert all("image 1.png cannot be read: " in fault for _, fault in faults_of(tmp_path))


def test_several_processes_find_the_same_faults(finished):
    rows = (finished / "data.jsonl").read_text()
    broken = json.loads(rows.splitlines()[0])["image"]
    for number in range(40):
        shutil.copy(finished / "images" / broken, finished / "images" / f"{number}.png")
        rows += json.dumps(toy.row(f"more{number}", "toy", f"{number}.png")) + "\n"
    (finished / "data.jsonl").write_text(rows)
    (finished / "manifest.json").unlink()
    (finished / "images" / "33.png").write_bytes(b"torn")
    (finished / "images" / "7.png").unlink()
    reports = [check(finished / "data.jsonl", finished / "images", workers=workers) for workers in (1, 2)]
    assert reports[0] == reports[1]
    assert [row for row, _ in reports[0].faults] == [68, 94]


def test_a_file_of_any_name_with_its_own_image_folder(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(toy.draw_image(1))
    (tmp_path / "own.json").write_text(json.dumps([toy.row("1", "toy", "a.png"), GOOD]))
    command = ["check", str(tmp_path / "own.json")]
    assert main([*command, "--images", str(tmp_path / "photos")]) == 0
    assert main(command) == 1
    (tmp_path / "own.json").write_text('[{"id": "1"')
    assert main(command) == 1
    assert "row 1: broken JSON" in capsys.readouterr().out


def test_a_file_that_does_not_match_its_manifest(finished):
    lines = (finished / "data.jsonl").read_bytes().splitlines(keepends=True)
    (finished / "data.jsonl").write_bytes(b"".join(lines[:-1]))
    (fault,) = [fault for fault in faults_of(finished) if "manifest.json" in fault[1]]
    assert fault[0] == 0 and fault[1].endswith(f"(remedy: ndino data merge {finished})")
    assert main(["merge", str(finished)]) == 0 and not faults_of(finished)


def test_an_image_that_was_replaced_under_the_name_of_its_content_is_a_fault(finished):
    row = json.loads((finished / "data.jsonl").read_text().splitlines()[0])
    (finished / "images" / row["image"]).write_bytes(toy.draw_image(1))
    assert toy.draw_image(1) != toy.draw_image(int(row["id"]))
    faults = dict(check(finished / "data.jsonl", finished / "images").faults)
    assert "holds another image than it is named after (remedy: rebuild" in faults[1]


def test_nothing_to_check(tmp_path):
    write(tmp_path)
    assert faults_of(tmp_path) == [(0, "no rows (remedy: write the file again)")]
    with pytest.raises(UsageError, match="no such file"):
        check(tmp_path / "none.jsonl", tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@examples(60)
@given(row=st.fixed_dictionaries({}, optional={"id": JSON, "image": JSON, "conversations": JSON}) | JSON)
def test_no_json_crashes_the_check(tmp_path_factory, row):
    folder = write(tmp_path_factory.mktemp("any"), GOOD, json.dumps(row))
    assert {number for number, _ in faults_of(folder)} <= {2}
