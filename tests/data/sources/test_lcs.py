"""LCS-558K: rows and images from a folder or a zip file."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from pathlib import Path

import pytest

from ndino.data.framework.merge import merge
from ndino.data.sources import lcs
from ndino.formats.llava_json import read_conversations
from tests.commands import data as main
from tests.data.same import assert_same_folders
from tests.data.samples.cauldron_samples import draw_image


def caption(identity: str, image: str, text: str = "a dog") -> dict:
    asked = {"from": "human", "value": "What is it?\n<image>"}
    return {"id": identity, "image": image, "conversations": [asked, {"from": "gpt", "value": text}]}


@pytest.fixture
def pretrain(tmp_path: Path) -> Path:
    """LLaVA-Pretrain with three good rows, two of them on one image, and broken ones; folder and zip."""
    for name in ("00000/0.jpg", "00000/1.jpg", "00001/2.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(draw_image(int(name[6])))
    (tmp_path / "images" / "00001" / "2.jpg").write_bytes(draw_image(2)[:-30])
    rows = [
        caption("0", "00000/0.jpg"),
        caption("1", "00000/1.jpg"),
        caption("2", "00001/2.jpg"),
        caption("3", "00001/3.jpg"),
        caption("4", "../images/00000/0.jpg"),
        caption("5", "00000"),
        caption("6", "00000/0.jpg", "the same dog"),
        {**caption("7", "00000/0.jpg"), "conversations": caption("7", "")["conversations"] * 2},
        {"id": "8"},
    ]
    (tmp_path / "l.json").write_text(json.dumps(rows))
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for path in sorted((tmp_path / "images").rglob("*.jpg")):
            archive.write(path, path.relative_to(tmp_path / "images"))
    return tmp_path


def run(pretrain: Path, images: str, out: str, *arguments: str) -> Path:
    command = ["lcs", str(pretrain / "l.json"), "--images", str(pretrain / images)]
    assert main([*command, "--out", str(pretrain / out), *arguments]) == 0
    return pretrain / out


@pytest.mark.parametrize("images", ["images", "images.zip"])
def test_good_rows_are_indexed_with_their_images_in_place(pretrain, images):
    out = run(pretrain, images, "out")
    rows = list(read_conversations(out / "data.jsonl", image_folder=out / "images"))
    assert [row.images for row in rows] == [("00000/0.jpg",), ("00000/1.jpg",), ("00000/0.jpg",)]
    assert [turn.text for turn in rows[2].turns] == ["<image>", "the same dog"]
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert {one["where"]: one["reason"] for one in rejects} == {
        "lcs/00002-2": "image: image file is truncated",
        "lcs/00003-3": "image: not in the folder",
        "lcs/00004-4": "image: outside the folder",
        "lcs/00005-5": "image: not in the folder",
        "lcs/00007": "not a LLaVA row",
        "lcs/00008": "not a LLaVA row",
    }
    # The row as `check` numbers it, from 1; names count from 0.
    for one in rejects:
        assert one["detail"]["file"].endswith(".json")
        assert one["detail"]["row"] == int(one["where"].split("/")[1][:5]) + 1
    assert json.loads((out / "manifest.json").read_text())["lang"] == "en"
    files = sorted(path.name for path in (out / "images").rglob("*") if path.is_file())
    assert files == ["0.jpg", "1.jpg"]


def test_images_of_a_folder_take_no_extra_space(pretrain):
    out = run(pretrain, "images", "out")
    original = pretrain / "images" / "00000" / "0.jpg"
    assert (out / "images" / "00000" / "0.jpg").samefile(original)
    run(pretrain, "images", "out")
    assert original.read_bytes() == draw_image(0)


def test_without_hard_links_they_are_copied(pretrain, monkeypatch):
    def refused(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(lcs.os, "link", refused)
    placed = run(pretrain, "images", "out") / "images" / "00000" / "0.jpg"
    assert placed.read_bytes() == draw_image(0)
    assert not placed.samefile(pretrain / "images" / "00000" / "0.jpg")


def test_shards_give_the_same_bytes(pretrain):
    one = run(pretrain, "images.zip", "one")
    for index in range(2):
        run(pretrain, "images.zip", "two", "--shard", f"{index}/2")
    merge(pretrain / "two")
    assert_same_folders(one, pretrain / "two")


@pytest.mark.parametrize("images", ["images", "images.zip"])
def test_a_missing_image_is_tried_again_and_a_changed_one_replaced(pretrain, images, capsys):
    out = run(pretrain, images, "out")
    for name in ("00000/1.jpg", "00001/3.jpg"):
        # Of the same size where there was one: the row of 1.jpg stays, with its image.
        (pretrain / "images" / name).unlink(missing_ok=True)
        (pretrain / "images" / name).write_bytes(draw_image(int(name[6])))
    (pretrain / "images" / "00001" / "2.jpg").write_bytes(draw_image(2))
    with zipfile.ZipFile(pretrain / "images.zip", "w") as archive:
        for path in sorted((pretrain / "images").rglob("*.jpg")):
            archive.write(path, path.relative_to(pretrain / "images"))
    command = ["lcs", str(pretrain / "l.json"), "--images", str(pretrain / images), "--out", str(out)]
    assert main(command) == 1
    assert "folder of inputs" in capsys.readouterr().err
    assert main([*command, "--retry-rejects"]) == 0
    assert len((out / "data.jsonl").read_text().splitlines()) == 5
    (out / "images" / "00001" / "3.jpg").unlink()
    (out / "images" / "00001" / "3.jpg").write_bytes(b" " * len(draw_image(3)))
    with lcs.open_images(pretrain / images) as source:
        source.place("00001/3.jpg", draw_image(3), out / "images" / "00001" / "3.jpg")
    assert (out / "images" / "00001" / "3.jpg").read_bytes() == draw_image(3)


def test_a_path_that_is_neither_folder_nor_zip_is_named(pretrain, capsys):
    (pretrain / "no.zip").write_bytes(b"no zip")
    command = ["lcs", str(pretrain / "l.json"), "--out", str(pretrain / "out"), "--images"]
    for images, code in (("no.zip", 1), ("nowhere", 2)):
        assert main([*command, str(pretrain / images)]) == code
        assert images in capsys.readouterr().err
    assert main(["lcs", "nowhere.json", "--images", str(pretrain), "--out", str(pretrain / "out")]) == 2
    assert "nowhere.json: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("images", ["images", "images.zip"])
def test_an_image_s_name_may_be_in_another_unicode_form_than_its_file(tmp_path, images):
    nfc, nfd = (unicodedata.normalize(form, "perché.jpg") for form in ("NFC", "NFD"))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / nfd).write_bytes(draw_image(0))
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.write(tmp_path / "images" / nfd, nfd)
    (tmp_path / "l.json").write_text(json.dumps([caption("0", nfc)]))
    out = run(tmp_path, images, "out")
    assert (out / "images" / nfc).read_bytes() == draw_image(0)
