"""Conversation 58k: rounds, newlines, broken rows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ndino.data.framework.merge import merge
from ndino.data.sources import conversations
from ndino.formats.llava_json import read_conversations
from tests.commands import data as main
from tests.data.same import assert_same_folders
from tests.data.samples.cauldron_samples import draw_image
from tests.data.translation.apertium_there import needs_apertium, needs_apertium_back
from tests.data.translation.translators.marked import Marked, marked_translation


def shout(line: str) -> str:
    return line.upper()


@pytest.fixture
def shouted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command with a translator that writes in capitals; what it was asked."""
    asked: list[str] = []

    def note(line: str) -> str:
        asked.append(line)
        return "" if "untranslatable" in line else shout(line)

    monkeypatch.setattr(
        conversations, "open_translation", lambda args, memory: marked_translation(memory.parent, note)
    )
    monkeypatch.setattr(conversations, "translation_identity", lambda args: Marked().identity)
    return asked


def conversation(identity: str, *messages: str, image: str | None = "1.jpg") -> dict:
    turns = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(messages)]
    return {"id": identity, "conversations": turns} | ({"image": image} if image else {})


def source(folder: Path, *rows: object) -> tuple[str, ...]:
    (folder / "coco").mkdir(exist_ok=True)
    for number in range(3):
        (folder / "coco" / f"{number}.jpg").write_bytes(draw_image(number))
    (folder / "coco" / "COCO_train2014_7.jpg").write_bytes(draw_image(7))
    (folder / "coco" / "torn.jpg").write_bytes(draw_image(8)[:-30])
    file = folder / "conversation_58k.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    return "conversations", str(file), "--images", str(folder / "coco")


def rows_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def values(row: dict) -> list[str]:
    return [message["value"] for message in row["conversations"]]


LONG = "A list:\n\n1. Red car.\n  - two dogs  \n\n\nThe end.\n"


def test_each_round_and_the_whole_conversation_keep_their_newlines(shouted, tmp_path):
    row = conversation("000000442786", "What is it?\n<image>", LONG, "And\nthen?", "12")
    assert main([*source(tmp_path, row), "--out", str(tmp_path / "out")]) == 0
    first, second, whole = rows_of(tmp_path / "out" / "data.jsonl")
    assert values(first) == ["<image>\nWHAT IS IT?", LONG.upper()]
    assert values(second) == ["<image>\nAND\nTHEN?", "12"]
    assert values(whole) == ["<image>\nWHAT IS IT?", LONG.upper(), "AND\nTHEN?", "12"]
    assert [row["source"].split("/")[1] for row in (first, second, whole)] == ["single", "single", "multi"]
    assert len({row["id"] for row in (first, second, whole)}) == 3
    # Neither the token nor list markers, newlines and numbers are for the translator.
    assert sorted(shouted) == ["A list:", "And", "Red car.", "The end.", "What is it?", "then?", "two dogs"]
    images = tmp_path / "out" / "images"
    assert len(list(read_conversations(tmp_path / "out" / "data.jsonl", image_folder=images))) == 3
    assert (images / whole["image"]).read_bytes() == draw_image(1)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["counts"] == {
        "conversations/rows": 1, "conversations/instances": 2, "conversations/translated": 2,
    }  # fmt: skip


def test_a_rejected_round_is_left_out_and_so_is_the_whole_conversation(shouted, tmp_path, monkeypatch):
    from ndino.data.translation.rejection import TextChecks
    from tests.data.translation.translators import marked

    monkeypatch.setattr(marked, "NoChecks", TextChecks)  # which reject an empty translation
    row = conversation("1", "<image>\nWho?", "Me.", "What?", "It is untranslatable.")
    assert main([*source(tmp_path, row), "--out", str(tmp_path / "out")]) == 0
    assert [row["source"] for row in rows_of(tmp_path / "out" / "data.jsonl")] == ["conversations/single"]
    assert [(one["where"], one["reason"]) for one in rows_of(tmp_path / "out" / "rejects.jsonl")] == [
        ("00000-1/01", "empty translation"),
        ("00000-1", "a round is missing"),
    ]


def test_broken_rows_keep_their_numbers_and_do_not_stop_the_run(shouted, tmp_path):
    good = conversation("g", "<image>\nWho?", "Me.")
    arguments = source(
        tmp_path,
        good,
        "no row",
        conversation("turn", "<image>\nWho?"),
        conversation("two", "<image>\nWho?", "Me.", image="9.jpg"),
        conversation("torn", "<image>\nWho?", "Me.", image="torn.jpg"),
        conversation("out", "<image>\nWho?", "Me.", image="../conversation_58k.json"),
        conversation("folder", "<image>\nWho?", "Me.", image="."),
        conversation("null", "<image>\nWho?", "Me.", image="a\0b"),
        conversation("none", "Who?", "Me.", image=None),
        conversation("2014", "<image>\nWho?", "Me.", image="7.jpg"),
        conversation("symbols", "<image>\n?", "!"),
    )
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    kept = [row["id"] for row in rows_of(tmp_path / "out" / "data.jsonl") if row["source"].endswith("multi")]
    assert kept == ["conversations/00000-g", "conversations/00009-2014", "conversations/00010-symbols"]
    for one in rows_of(tmp_path / "out" / "rejects.jsonl"):
        assert one["detail"]["file"].endswith(".json")
        assert one["detail"]["row"] == int(one["where"][:5]) + 1
    rejects = {one["where"]: one["reason"] for one in rows_of(tmp_path / "out" / "rejects.jsonl")}
    assert rejects == {
        "00001": "not a LLaVA row",
        "00002": "not a LLaVA row",
        "00003-two": "image: not in the folder",
        "00004-torn": "image: image file is truncated",
        "00005-out": "image: outside the folder",
        "00006-folder": "image: not in the folder",
        "00007-null": "image: not in the folder",
        "00008-none": "image: not one in the row",
    }
    assert main([*arguments, "--out", str(tmp_path / "few"), "--limit", "5"]) == 0
    assert len(rows_of(tmp_path / "few" / "rejects.jsonl")) == 4


def test_shards_give_the_same_bytes(shouted, tmp_path):
    rows = [conversation(str(n), "<image>\nWho?", f"Number {n}, or\nmore.") for n in range(9)]
    arguments = source(tmp_path, *rows, {"id": "broken"})
    assert main([*arguments, "--out", str(tmp_path / "one")]) == 0
    for index in range(3):
        assert main([*arguments, "--out", str(tmp_path / "three"), "--shard", f"{index}/3"]) == 0
    merge(tmp_path / "three")
    assert_same_folders(tmp_path / "one", tmp_path / "three")


def questions(number: int, *images: str) -> list[dict]:
    return [
        conversation(str(n), "<image>\nWho?", "Me.", image=images[n % len(images)]) for n in range(number)
    ]


def test_the_right_folder_after_a_wrong_one(shouted, tmp_path, capsys):
    arguments = source(tmp_path, *questions(3, "0.jpg", "1.jpg", "2.jpg"))
    (tmp_path / "wrong").mkdir()
    wrong = [*arguments[:3], str(tmp_path / "wrong"), "--out", str(tmp_path / "out")]
    right = [*arguments, "--out", str(tmp_path / "out")]
    for _ in range(2):  # the second time it is complete already, and has no rows still
        assert main(wrong) == 1
        assert (
            "no rows; rejects.jsonl has the reasons: image: not in the folder (3)" in capsys.readouterr().err
        )
    assert main(right) == 1
    said = capsys.readouterr().err
    assert "0 files" in said and "now '3 files" in said and "--retry-rejects keeps the rows" in said
    assert main([*right, "--retry-rejects"]) == 0
    assert main([*arguments, "--out", str(tmp_path / "fresh")]) == 0
    assert_same_folders(tmp_path / "fresh", tmp_path / "out")
    assert main(right) == 0 and "already complete" in capsys.readouterr().out


def test_images_are_known_by_content(shouted, tmp_path, capsys):
    arguments = [*source(tmp_path, *questions(2, "0.jpg", "1.jpg")), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    (tmp_path / "coco").rename(tmp_path / "moved")
    moved = [*arguments[:3], str(tmp_path / "moved"), *arguments[4:]]
    assert main(moved) == 0
    assert "already complete" in capsys.readouterr().out
    image = tmp_path / "moved" / "1.jpg"
    written, size = image.stat().st_mtime_ns, image.stat().st_size
    changed = draw_image(1)[:-2] + b"  "
    assert len(changed) == size
    image.write_bytes(changed)
    os.utime(image, ns=(written, written))
    assert main(moved) == 1
    assert "other settings: folder of inputs '2 files" in capsys.readouterr().err


def test_a_retry_tries_what_was_missing_and_keeps_the_rest(shouted, tmp_path):
    rows = [*questions(8, "0.jpg", "late.jpg"), {"id": "broken"}]
    arguments = [*source(tmp_path, *rows), "--out", str(tmp_path / "out")]
    for index in range(2):
        assert main([*arguments, "--shard", f"{index}/2"]) == 0
    merge(tmp_path / "out")
    first = rows_of(tmp_path / "out" / "data.jsonl")
    assert len(first) == 8 and "late.jpg" in (tmp_path / "out" / "rejects.jsonl").read_text()
    (tmp_path / "coco" / "late.jpg").write_bytes(draw_image(9))
    shouted.clear()
    for index in range(2):
        assert main([*arguments, "--shard", f"{index}/2", "--retry-rejects"]) == 0
    merge(tmp_path / "out")
    assert not shouted  # what was translated is remembered
    assert main([*arguments[:-1], str(tmp_path / "fresh")]) == 0
    for name in ("data.jsonl", "rejects.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
    assert [one["where"] for one in rows_of(tmp_path / "out" / "rejects.jsonl")] == ["00008"]
    # The manifest says that rows were made from both states of the folder.
    inputs = json.loads((tmp_path / "out" / "manifest.json").read_text())["inputs"]
    assert sorted(one["files"] for one in inputs if "files" in one) == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "[{", "broken JSON"),
        ("a.json", "{}", "a list of rows"),
        ("a.txt", "[]", "unknown file type"),
    ],
)
def test_a_file_that_is_not_a_list_is_named(shouted, tmp_path, capsys, name, content, said):
    (tmp_path / name).write_text(content)
    command = ["conversations", str(tmp_path / name), "--images", str(tmp_path), "--out", str(tmp_path / "o")]
    assert main(command) == 1
    assert said in capsys.readouterr().err


def test_missing_files_and_folders_are_named(tmp_path, capsys):
    arguments = source(tmp_path)
    assert main([*arguments[:3], str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "--images FOLDER" in capsys.readouterr().err
    assert main(["conversations", "none.json", *arguments[2:], "--out", str(tmp_path / "out")]) == 2
    assert "none.json: no such file" in capsys.readouterr().err


class TestWithApertium:
    pytestmark = needs_apertium

    def test_a_conversation_in_italian(self, tmp_path):
        row = conversation("1", "What is the dog doing?\n<image>", "The dog is sleeping.\n\n- It is red.")
        assert main([*source(tmp_path, row), "--out", str(tmp_path / "out")]) == 0
        asked, answered = values(rows_of(tmp_path / "out" / "data.jsonl")[0])
        assert asked.startswith("<image>\n") and "cane" in asked
        first, blank, second = answered.split("\n")
        assert "cane" in first and blank == "" and second.startswith("- ") and "ross" in second


class TestScored:
    pytestmark = needs_apertium_back

    def test_a_row_has_the_lowest_score_of_its_texts_and_poor_rows_are_left_out(self, tmp_path, capsys):
        rows = [
            conversation(
                "1",
                "<image>\nWhat is the dog doing?",
                "The dog is in the house.",
                "What is the man holding?",
                "He is holding his hat with both hands.",
            ),
            conversation("2", "<image>\n1 + 1?", "2"),
        ]
        out = tmp_path / "out"
        command = [*source(tmp_path, *rows), "--quality", "back-translation"]
        assert main([*command, "--out", str(out)]) == 0
        by_name = {row["id"].split("/", 1)[1]: row for row in rows_of(out / "data.jsonl")}
        first, second, whole = (by_name[f"00000-1{part}"]["quality"] for part in ("/00", "/01", ""))
        assert whole == min(first, second) and first > 0.4
        assert "quality" not in by_name["00001-2"]  # nothing was translated
        manifest = json.loads((out / "manifest.json").read_text())
        counted = manifest["quality"]["sources"]["conversations/single"]
        assert counted["scored"] == 2 and sum(counted["histogram"]) == 2
        assert manifest["quality"]["scorer"].startswith("back-translation chrF2 by")
        assert "ita-spa and spa-eng" in manifest["quality"]["scorer"]
        assert "conversations/single: quality of 2 rows, mean" in capsys.readouterr().out
        assert "| conversations/single |" in (out / "README.md").read_text()
        least = max(first, second)
        mixed = ["mix", "--take", "conversations=all", "--min-quality", str(least), "--folders", str(out)]
        assert main([*mixed, "--out", str(tmp_path / "mix")]) == 0
        left = {row["id"].split("/", 1)[1] for row in rows_of(tmp_path / "mix" / "data.jsonl")}
        better = "00000-1/00" if first > second else "00000-1/01"
        assert left == {better, "00001-2", "00001-2/00"}
