"""GQA-it: questions and images of two repositories, joined."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ndino.data.framework.merge import merge
from ndino.data.framework.shards import Shard, ShardWriter
from ndino.data.sources.gqa import GqaItem, gqa_outcome, read_gqa_questions
from ndino.formats.hub_folders import load_folder
from tests.commands import data as main
from tests.data.same import assert_same_folders
from tests.data.samples.cauldron_samples import draw_image
from tests.data.samples.native_samples import write_gqa


def rows_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def run(source: Path, out: Path, *arguments: str) -> int:
    return main(["native", "gqa-it", "--source", str(source), "--out", str(out), *arguments])


def test_questions_are_joined_with_their_images(tmp_path):
    questions, images = write_gqa(tmp_path / "hub")
    assert run(images, tmp_path / "out", "--questions", str(questions)) == 0
    folder = tmp_path / "out" / "benchmarks"
    documents = load_folder(folder / "crux82" / "gqa-it", split="test")
    assert set(documents["question_id"]) == {"1", "2", "3"}
    asked = dict(zip(documents["sent"], documents["label"], strict=True))
    assert json.loads(asked["È chiusa la porta?"]) == {"no": 1.0}
    assert sorted(load_folder(folder / "lmms-lab" / "GQA", split="testdev")["id"]) == ["n1", "n2"]
    assert [one["reason"] for one in rows_of(tmp_path / "out" / "rejects.jsonl")] == [
        "image: not in lmms-lab/GQA"
    ]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"] == {"gqa-it/test": 3}
    for index in range(2):
        arguments = ("--questions", str(questions), "--shard", f"{index}/2")
        assert run(images, tmp_path / "two", *arguments) == 0
    merge(tmp_path / "two")
    assert_same_folders(tmp_path / "two", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8bbroken", b"{}", gzip.compress(b"[1]", mtime=0), b"["])
def test_a_broken_file_of_questions_is_named(tmp_path, capsys, content):
    _, images = write_gqa(tmp_path / "hub")
    (tmp_path / "q.json").write_bytes(content)
    arguments = ("--questions", str(tmp_path / "q.json"))
    assert run(images, tmp_path / "out", *arguments) == 1
    assert "q.json" in capsys.readouterr().err


def test_questions_are_read_with_and_without_gzip(tmp_path):
    questions = [{"img_id": "n1", "sent": "Chi è?"}]
    (tmp_path / "plain.json").write_text(json.dumps(questions))
    (tmp_path / "packed.json.gz").write_bytes(gzip.compress(json.dumps(questions).encode()))
    assert read_gqa_questions(tmp_path / "plain.json") == questions
    assert read_gqa_questions(tmp_path / "packed.json.gz") == questions


def test_a_question_without_text_or_label_is_rejected_and_the_others_kept(tmp_path):
    good = {"question_id": 7, "sent": "Chi è?", "label": {"uomo": 1.0}}
    broken = [{**good, "sent": " "}, {**good, "label": {}}, {**good, "label": "uomo"}]
    with ShardWriter(tmp_path, Shard(0, 1), {}, conversations=False) as writer:
        outcome = gqa_outcome(GqaItem("n1", [good, *broken], draw_image(1)), writer)
        nothing = gqa_outcome(GqaItem("n2", broken, draw_image(2)), writer)
    assert [row["question_id"] for row in outcome.rows] == ["7"]
    assert (tmp_path / "images" / outcome.rows[0]["image"]).read_bytes() == draw_image(1)
    assert [reject.reason for reject in outcome.rejects] == ["no question or no label"] * 3
    # The image of an item without a row is not stored.
    assert (nothing.rows, len(list((tmp_path / "images").rglob("*.png")))) == ((), 1)
