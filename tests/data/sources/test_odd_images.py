"""Every odd image through the sources: stored as all commands see it, or a reject."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ndino.common.images import UnreadableImageError, read_image
from ndino.data.sources import cauldron, conversations
from ndino.data.sources.wit_images import store_image
from ndino.data.translation import Translation
from tests.commands import data as main
from tests.data.samples.cauldron_samples import row, write_task
from tests.data.samples.native_samples import IMAGE, PAIRS, TEXT, write_parquet
from tests.data.translation.translators.marked import Marked, marked_translation
from tests.odd_images import kinds

# The sources leave out images of less than 16 pixels a side.
KINDS = {
    name: kind for name, kind in kinds().items() if kind.pixels is None or min(kind.pixels.shape[:2]) > 15
}
TALK = [{"from": "human", "value": "What is it?\n<image>"}, {"from": "gpt", "value": "It is a sign."}]


def llava_json(folder: Path) -> list[str]:
    (folder / "images").mkdir()
    for name, kind in KINDS.items():
        (folder / "images" / name).write_bytes(kind.content)
    rows = [{"id": f"n{n:03}", "image": name, "conversations": TALK} for n, name in enumerate(KINDS)]
    (folder / "rows.json").write_text(json.dumps(rows))
    return [str(folder / "rows.json"), "--images", str(folder / "images")]


def of_the_cauldron(folder: Path) -> list[str]:
    rows = [
        row([kind.content], [("What is it?", f"Sign {n}.")], "vqav2") for n, kind in enumerate(KINDS.values())
    ]
    write_task(folder / "source", "vqav2", rows)
    return ["--source", str(folder / "source"), "--tasks", "vqav2"]


def of_mtvqa(folder: Path) -> list[str]:
    rows = [
        {"image": {"bytes": kind.content, "path": None}, "qa_pairs": PAIRS, "lang": "IT", "id": number}
        for number, kind in enumerate(KINDS.values())
    ]
    types = {"image": IMAGE, "qa_pairs": TEXT, "lang": TEXT}
    write_parquet(folder / "source" / "data" / "train-00000-of-00001.parquet", rows, types)
    return ["mtvqa", "--source", str(folder / "source"), "--split", "train"]


@pytest.mark.parametrize(
    ("source", "inputs"),
    [("lcs", llava_json), ("conversations", llava_json), ("cauldron", of_the_cauldron), ("native", of_mtvqa)],
)
def test_every_kind(
    source: str, inputs: Callable[[Path], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def translation(args: object, memory: Path) -> Translation:
        return marked_translation(memory.parent)

    for module in (cauldron, conversations):
        monkeypatch.setattr(module, "open_translation", translation)
        monkeypatch.setattr(module, "translation_identity", lambda args: Marked().identity)
    out = tmp_path / "out"
    assert main([source, *inputs(tmp_path), "--out", str(out)]) == 0
    stored, names = {}, list(KINDS)
    for line in (out / "data.jsonl").read_text().splitlines():
        made = json.loads(line)
        stored[names[int(re.findall(r"\d{3,}", made["id"])[0])]] = out / "images" / made["image"]
    assert set(stored) == {name for name, kind in KINDS.items() if kind.pixels is not None}
    for name, path in stored.items():
        assert np.array_equal(read_image(path), read_image(KINDS[name].content)), name
    reasons = [json.loads(line)["reason"] for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert sorted(reasons) == sorted(
        f"image: {reason_of(kind.content)}" for kind in KINDS.values() if kind.pixels is None
    )


def reason_of(content: bytes) -> str:
    """What `ndino data check` says of the image, with the sources' limit of pixels."""
    with pytest.raises(UnreadableImageError) as refused:
        read_image(content)
    return refused.value.kind.replace("933,120,000", "50,000,000")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_that_is_downloaded(name: str) -> None:
    kept: list[bytes] = []
    saved = store_image(KINDS[name].content, lambda content, suffix: kept.append(content) or suffix)
    assert bool(saved.image) is bool(kept) is (KINDS[name].pixels is not None)
    assert saved.image or saved.reason == f"image: {reason_of(KINDS[name].content)}"
    assert not kept or np.array_equal(read_image(kept[0]), read_image(KINDS[name].content))
