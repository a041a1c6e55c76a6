"""The index of a stage's data: who shares it, and when it is made again."""

from __future__ import annotations

import json
import re
import shutil
import threading
from pathlib import Path

import pytest
from PIL import Image

from ndino.formats.llava_json import ConversationError
from ndino.train.rows import building
from ndino.train.rows.building import make_index
from ndino.train.rows.index import META, damage_of, open_index
from ndino.train.stage import StageError, write_rejects
from tests.train.conftest import ROWS


def add_rows(data: Path, *changes: dict) -> None:
    first = json.loads(data.read_text().splitlines()[0])
    with data.open("a") as file:
        file.writelines(json.dumps(first | change) + "\n" for change in changes)


def never(*arguments, **options):
    pytest.fail("the data were indexed again")


def test_it_is_beside_the_data_and_made_once(made, data, built, monkeypatch):
    folder = made()
    assert folder.parent == data.parent / ".index" and (folder / META).is_file()
    monkeypatch.setattr(building, "_build", never)
    # Fields that do not change a row's encoding, and another time of change, make no difference.
    assert made(learning_rate=0.5, trainable="projector", per_device_batch=1) == folder
    data.touch()
    tokenizer = built[1].tokenizer
    tokenizer(["uno", "due tre"], padding=True, truncation=True, max_length=1)
    assert made() == folder


def test_what_changes_the_rows_makes_another_index(made, data, tmp_path):
    first = made()
    shutil.copytree(data.parent / "images", tmp_path / "elsewhere")
    others = [made(prompt="plain"), made(supervision="answer"), made(max_length=100)]
    others += [made(tmp_path / "elsewhere"), made(grid_pinpoints=((112, 56), (56, 112)))]
    add_rows(data, {"id": "more"})
    others.append(made())
    assert len({first, *others}) == 7 and made() == others[-1]


def test_it_goes_beside_the_run_where_the_data_s_folder_cannot_be_written(made, data, tmp_path, monkeypatch):
    writable = building.can_write
    monkeypatch.setattr(building, "can_write", lambda path: path.parent != data.parent and writable(path))
    assert made().parent == tmp_path / ".index"


def test_rejects_have_row_and_reason_and_a_repaired_image_makes_a_new_index(made, data):
    images = data.parent / "images"
    (images / "torn.png").write_bytes(b"\x89PNG no more")
    talk = json.loads(data.read_text().splitlines()[0])["conversations"]
    add_rows(
        data,
        {"image": "nowhere.png"},
        {"image": "torn.png"},
        {"conversations": [talk[0], talk[1] | {"value": "<|eot_id|>"}]},
        {"conversations": talk[::-1]},
    )
    first = made()
    index = open_index(first)
    assert len(index) == ROWS and [reject.row for reject in index.rejects] == [ROWS + n for n in (1, 2, 3, 4)]
    for line, said in zip(
        index.lines(data),
        (
            "nowhere.png is not in",
            "torn.png cannot be read: ",
            "marker <|eot_id|>",
            "is from gpt",
        ),
        strict=True,
    ):
        assert line.startswith(f"{data} row ") and said in line
    assert made() == first
    shutil.copy(images / "0.png", images / "nowhere.png")
    again = made()
    assert again != first and len(open_index(again)) == ROWS + 1
    assert len(open_index(first)) == ROWS, "a job that uses it can go on"
    assert made() == again


def test_a_header_with_many_pixels_is_accepted_as_the_reader_does(made, data, monkeypatch):
    # Another part of the process may have set a limit, as lmms-eval does. 200 x 100 is above twice this one.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    assert open_index(made()).rejects == ()


def test_a_killed_build_is_resumed_at_its_last_shard(made, data, monkeypatch):
    monkeypatch.setattr(building, "SHARD_ROWS", 5)
    write = building._write_shard
    written: list[int] = []

    def write_two(folder, number, rows):
        if number == 2:
            raise KeyboardInterrupt
        written.append(number)
        write(folder, number, rows)

    monkeypatch.setattr(building, "_write_shard", write_two)
    add_rows(data, {"conversations": []})
    with pytest.raises(KeyboardInterrupt):
        made()
    assert not list((data.parent / ".index").glob(f"*/{META}"))
    monkeypatch.setattr(building, "_write_shard", lambda *a: (written.append(a[1]), write(*a)))
    index = open_index(made())
    assert written == [0, 1, 2]
    assert index.row_numbers.tolist() == list(range(1, ROWS + 1)) and len(index.rejects) == 1
    assert [index[position].row for position in (0, 4, 5, 11)] == [1, 5, 6, 12]


def test_a_shard_of_a_killed_build_that_is_damaged_is_written_again(made, data, monkeypatch):
    monkeypatch.setattr(building, "SHARD_ROWS", 5)
    monkeypatch.setattr(building, "signed", never)
    with pytest.raises(pytest.fail.Exception):
        made()
    monkeypatch.undo()
    monkeypatch.setattr(building, "SHARD_ROWS", 5)
    (shard,) = (data.parent / ".index").glob("*.partial/rows-00001.arrow")
    flip(shard, shard.stat().st_size // 2)
    index = open_index(made())
    assert [index[position].row for position in range(ROWS)] == list(range(1, ROWS + 1))
    assert damage_of(index.folder) is None


def flip(path: Path, position: int) -> None:
    """Change one bit of a file, whose size stays."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["rows-00001.arrow", "rejects-00000.json", META])
def test_damage_anywhere_is_told_and_makes_the_index_anew(made, name, monkeypatch, capsys):
    monkeypatch.setattr(building, "SHARD_ROWS", 5)
    first = made()
    size = (first / name).stat().st_size
    sound = [row.input_ids.tolist() for row in open_index(first)]
    for number, position in enumerate((0, size // 3, size // 2, size - 2), start=1):
        flip(first / name, position)
        again = made()
        assert again != first and damage_of(again) is None
        assert [row.input_ids.tolist() for row in open_index(again)] == sound
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith(f"{first}: damaged, another index is used or made: ") and name in line, line
        assert f"renamed to damaged-{first.name} (" in line and not first.exists()
        assert again.name.endswith(f"-{number + 1}"), "a run that began with the old one must not take it"
        first = again
        assert made() == first and not capsys.readouterr().out


@pytest.mark.parametrize("content", ["[]", "7", "null", '"text"'])
def test_an_index_that_is_no_object_is_damaged_in_plain_words(made, content):
    folder = made()
    (folder / META).write_text(content)
    assert damage_of(folder) == f"{META}: another content"


def test_a_sound_index_beside_the_run_is_used_in_place_of_a_damaged_one(
    made, data, tmp_path, monkeypatch, capsys
):
    first = made()
    beside = tmp_path / ".index" / first.name
    shutil.copytree(first, beside)
    (first / META).write_text("[]")
    monkeypatch.setattr(building, "_build", lambda *args: pytest.fail("the data were indexed again"))
    assert made() == beside
    assert "damaged, another index is used or made: index.json: another content" in capsys.readouterr().out


def test_a_file_that_is_cut_off_or_gone_makes_the_index_anew(made, capsys):
    for spoil in (lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.unlink):
        folder = made()
        spoil(folder / "rows-00000.arrow")
        assert len(open_index(made())) == ROWS
        assert "rows-00000.arrow" in capsys.readouterr().out


def test_the_index_of_a_file_with_brackets_is_found_again(built, recipe, data, tmp_path, monkeypatch):
    odd = data.rename(data.with_name("rows [1].jsonl"))
    inputs = (odd, data.parent / "images", built[1], recipe)
    folder = make_index(*inputs, beside=tmp_path / "run")
    monkeypatch.setattr(building, "_build", never)
    assert make_index(*inputs, beside=tmp_path / "run") == folder


def test_two_processes_make_one_index(made, monkeypatch):
    build, builds = building._build, []

    def count(*arguments):
        builds.append(1)
        build(*arguments)

    monkeypatch.setattr(building, "_build", count)
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(made())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1 and folders[0] == folders[1]


def test_data_without_usable_rows_have_an_empty_index(made, data):
    data.write_text("\n")
    index = open_index(made())
    assert len(index) == 0 and index.lengths.tolist() == []
    data.write_text('{"id": 1}\n')
    assert len(open_index(made()).rejects) == 1


def test_a_file_that_is_not_a_list_of_rows_is_an_error(built, rows, recipe, tmp_path):
    (tmp_path / "data.json").write_text("{}")
    with pytest.raises(ConversationError, match="expected a list of rows"):
        make_index(tmp_path / "data.json", rows / "images", built[1], recipe, beside=tmp_path / "run")


def test_every_reject_has_a_remedy_and_a_row_that_is_too_long_the_right_one(made, data, stage):
    talk = json.loads(data.read_text().splitlines()[0])["conversations"]
    long = [talk[0] | {"value": "<image>\n" + "Che cosa vedi? " * 90}, talk[1]]
    far = [talk[0] | {"value": "Che cosa vedi? " * 90 + "\n<image>\nE qui: <image>"}, talk[1]]
    add_rows(
        data,
        {"conversations": long},
        {"image": ["0.png", "1.png"], "conversations": far},
        {"conversations": [talk[0], talk[1] | {"value": "<|eot_id|>"}]},
        {"image": "nowhere.png"},
        {"conversations": []},
    )
    with data.open("a") as file:
        file.write('\n[1]\n{"id": }\n')
    lines = open_index(made(max_length=128)).lines(data)
    assert len(lines) == 7 and all(re.search(r"\(remedy: [^)]+\)$", line) for line in lines), lines
    for line in lines[:2]:
        assert line.endswith("(remedy: raise max_length in the recipe, or shorten the row)")
    assert re.search(r"the answer starts at token \d+ of \d+, of which \d+ are images", lines[0])
    # The page that says what a row looks like, and a place in the row's own line.
    assert (
        f'row {ROWS + 7}: expected an object, found list (remedy: see "Rows" in docs/training.md)' in lines[5]
    )
    assert f"row {ROWS + 8}: broken JSON at column 8: Expecting value (remedy: repair" in lines[6]
    with pytest.raises(StageError, match=r"\(remedy: raise max_length in the recipe, .*, for 2 of"):
        write_rejects(lines, ROWS, stage)
