"""Short answers that a translation left in the source's language are counted and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ndino.data.framework.merge import merge, report
from ndino.data.framework.shards import ItemOutcome, Shard, ShardWriter

SETTINGS = {"source": "toy", "from": "en", "lang": "it", "inputs": []}


def manifest_of(out: Path, answers: list[tuple[str, str]], settings: dict = SETTINGS) -> dict:
    with ShardWriter(out, Shard(0, 1), settings) as writer:
        for number, (original, said) in enumerate(answers):
            turns = [{"from": "human", "value": "Che cos'è?"}, {"from": "gpt", "value": said}]
            row = {
                "id": str(number),
                "source": "toy/vqa",
                "conversations": turns,
                "original": ["What is it?", original],
            }
            writer.commit(number, ItemOutcome((row,)))
        writer.finish()
    return merge(out)


def test_short_answers_are_counted_but_not_those_taken_from_the_source(tmp_path: Path) -> None:
    answers = [
        ("Red.", "Red"), ("Umbrella.", "Ombrello."), ("a dog", "un cane"), ("hot dog", "Hot dog"),
        ("2.", "2."), ("Yes.", "Sì."), ("No.", "No."), ("B", "B"), ("A man on a horse.", "A man on a horse."),
    ]  # fmt: skip
    manifest = manifest_of(tmp_path / "out", answers)
    assert manifest["unchanged_answers"] == {"toy/vqa": {"short": 4, "unchanged": 2}}


@pytest.mark.parametrize(("unchanged", "named"), [(19, True), (5, False)])
def test_many_unchanged_answers_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unchanged: int, named: bool
) -> None:
    answers = [("Red.", "Red.")] * unchanged + [("Red.", "Rosso.")] * (24 - unchanged)
    manifest = manifest_of(tmp_path / "out", answers)
    assert report(tmp_path / "out", manifest) == 0
    said = capsys.readouterr()
    assert f"{unchanged} of 24 short answers are as in the source" in said.out
    assert ("toy/vqa: 19 of 24 short answers are as in the source (remedy:" in said.err) is named


def test_what_is_not_translated_has_no_such_count(tmp_path: Path) -> None:
    settings = {key: value for key, value in SETTINGS.items() if key != "from"}
    assert "unchanged_answers" not in manifest_of(tmp_path / "out", [("Red.", "Red.")], settings)
