"""The drawn world: its test scenes do not occur in training, and one seed gives the same files."""

from __future__ import annotations

from datasets import load_dataset

from miniature.worlds.drawn import prepare
from ndino.formats.llava_json import read_conversations


def test_training_files_are_valid_and_share_no_scene_with_the_benchmarks(drawn_world):
    trained = set()
    for stage in ("mlp", "pt", "it", "long", "mix"):
        rows = list(read_conversations(drawn_world / f"{stage}.jsonl", image_folder=drawn_world / "images"))
        assert len(rows) >= 200
        if stage == "pt":
            trained = {row.turns[1].text for row in rows}
    tested = set(load_dataset(str(drawn_world / "benchmarks" / "captions"), split="test")["answer"])
    assert len(tested) == 24 and not tested & trained


def test_the_same_seed_writes_the_same_files(drawn_world, tmp_path):
    prepare(tmp_path, lang="it", seed=3, fast=True)
    for path in sorted(drawn_world.glob("*.jsonl")):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    images = sorted((drawn_world / "images").iterdir())
    assert all(path.read_bytes() == (tmp_path / "images" / path.name).read_bytes() for path in images)
