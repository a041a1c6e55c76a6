"""Planted copies of a benchmark's images in training data are found, unrelated images are not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fixtures.photographs import COPIES, photograph, png
from ndino.data.leaks.benchmarks import BenchmarkIndex, plain
from ndino.data.leaks.hashes import HashStore, hash_image
from tests.commands import data as data_command

ORIGINALS = range(12)
UNRELATED = range(100, 130)
QUESTION = "C'è un gatto grigio sul divano?"


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    pope = folder / "swap-uniba" / "POPE_IT"
    (pope / "images").mkdir(parents=True)
    rows = []
    for seed in ORIGINALS:
        (pope / "images" / f"{seed}.png").write_bytes(png(photograph(seed)))
        rows += [
            {"image": f"images/{seed}.png", "question": question, "answer": "no"}
            for question in (QUESTION, f"Quante sono le cose, dette {seed}?")
        ]
    (pope / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    gqa = folder / "lmms-lab" / "GQA"
    gqa.mkdir(parents=True)
    (gqa / "n1.png").write_bytes(png(photograph(1)))
    return folder


@pytest.fixture(scope="module")
def index(benchmarks, tmp_path_factory) -> BenchmarkIndex:
    return BenchmarkIndex(benchmarks, HashStore(tmp_path_factory.mktemp("store") / "hashes.sqlite"))


# Found rates; a crop of a fifth changes too much, and that is what the docs say.
RATES = {**dict.fromkeys(COPIES, 1.0), "cropped by 20 %": 0.0}


@pytest.mark.parametrize("copy", COPIES)
def test_the_rate_of_found_copies(copy, index):
    hashed = [hash_image(COPIES[copy](photograph(seed))) for seed in ORIGINALS]
    found = [
        any(match.benchmark == "swap-uniba/POPE_IT" for match in matches) for matches in index.matches(hashed)
    ]
    assert sum(found) / len(found) == RATES[copy]
    exact = [any(match.exact for match in matches) for matches in index.matches(hashed)]
    assert all(exact) if copy == "exact" else not any(exact)


def test_unrelated_images_are_not_found(index):
    assert not any(index.matches([hash_image(png(photograph(seed))) for seed in UNRELATED]))


def test_an_image_of_two_benchmarks_is_reported_for_both(index):
    ((first, second),) = index.matches([hash_image(png(photograph(1)))])
    assert (first.benchmark, second.benchmark) == ("lmms-lab/GQA", "swap-uniba/POPE_IT")
    assert index.images == len(ORIGINALS)


def test_an_interrupted_index_keeps_its_whole_chunks(benchmarks, tmp_path, monkeypatch):
    hashed = []

    def interrupted(content: bytes):
        if len(hashed) == 7:
            raise KeyboardInterrupt
        hashed.append(hash_image(content))
        return hashed[-1]

    store = HashStore(tmp_path / "hashes.sqlite")
    monkeypatch.setattr("ndino.data.leaks.benchmarks.CHUNK", 5)
    monkeypatch.setattr("ndino.data.leaks.benchmarks.hash_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        BenchmarkIndex(benchmarks, store)
    # GQA's image is kept with its data set, five of POPE's as a chunk, and one is hashed again.
    again = []
    monkeypatch.setattr(
        "ndino.data.leaks.benchmarks.hash_image", lambda content: again.append(1) or hash_image(content)
    )
    assert BenchmarkIndex(benchmarks, store).images == len(ORIGINALS)
    assert len(again) == len(ORIGINALS) - 6


@pytest.mark.parametrize(
    "asked",
    [
        "<image>\n" + QUESTION,
        "c'e un gatto grigio sul divano",
        QUESTION + "\nRispondi utilizzando una sola parola o frase.",
        "Rispondi in breve.\n" + QUESTION,
    ],
)
def test_a_question_is_known_whatever_surrounds_it(asked, index):
    assert set(index.asking([asked])) == {"swap-uniba/POPE_IT"}
    assert not index.asking([asked.replace("gatto", "cane").replace("un ", "dieci ")])
    assert plain("  ") == ""


def write_mix(folder: Path) -> Path:
    """Rows with an exact copy, a recompressed one with its question, unrelated ones, one of text alone."""
    (folder / "images").mkdir(parents=True)
    images = {
        "exact.png": COPIES["exact"](photograph(0)),
        "near.jpg": COPIES["recompressed"](photograph(1)),
        "other.png": png(photograph(200)),
        "torn.png": png(photograph(2))[:-500],
    }
    for name, content in images.items():
        (folder / "images" / name).write_bytes(content)
    rows = [
        ("a", "cauldron/vqav2", "exact.png", "Che cosa si vede?"),
        ("b", "cauldron/vqav2", "near.jpg", QUESTION),
        ("c", "wit/caption", "other.png", QUESTION),
        ("d", "wit/caption", "other.png", "Dove?"),
        ("e", "wit/caption", "torn.png", "Dove?"),
        ("f", "wit/caption", None, "Che ora è?"),
    ]
    lines = []
    for identity, source, image, question in rows:
        turns = [
            {"from": "human", "value": question if image is None else f"<image>\n{question}"},
            {"from": "gpt", "value": "Sì."},
        ]
        row = {"id": identity, "source": source, "conversations": turns}
        lines.append(json.dumps(row if image is None else {**row, "image": image}))
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_the_command_counts_drops_and_resumes(benchmarks, tmp_path, capsys, monkeypatch):
    mix, clean = write_mix(tmp_path / "mix"), tmp_path / "clean"
    command = ["leaks", str(mix), "--benchmarks", str(benchmarks), "--workers", "1"]
    assert data_command([*command, "--drop", str(clean)]) == 0
    printed = capsys.readouterr().out
    assert "2 of 6 rows show a benchmark's image" in printed and "torn.png" in printed
    found = json.loads((mix / "leaks.json").read_text())
    nothing = dict.fromkeys(("exact", "near", "question", "text"), 0)
    assert found["table"] == {
        "cauldron/vqav2": {
            "lmms-lab/GQA": {**nothing, "near": 1},
            "swap-uniba/POPE_IT": {**nothing, "exact": 1, "near": 1, "question": 1},
        },
        "wit/caption": {"swap-uniba/POPE_IT": {**nothing, "text": 1}},
    }
    assert found["benchmarks"]["swap-uniba/POPE_IT"] == {
        "rows": 24, "images": 12, "images_seen": 2, "rows_seen": 4
    }  # fmt: skip
    rows = [json.loads(line) for line in (mix / "leaks.jsonl").read_text().splitlines()]
    assert [(row["id"], row["row"]) for row in rows] == [("a", 1), ("b", 2)]

    kept = [json.loads(line) for line in (clean / "data.jsonl").read_text().splitlines()]
    assert [row["id"] for row in kept] == ["c", "d", "e", "f"]
    assert sorted(path.name for path in (clean / "images").iterdir()) == ["other.png", "torn.png"]
    rejects = [json.loads(line) for line in (clean / "rejects.jsonl").read_text().splitlines()]
    assert [(row["id"], row["reason"]) for row in rejects] == [
        ("a", "shows an image of swap-uniba/POPE_IT"),
        ("b", "shows an image of lmms-lab/GQA, swap-uniba/POPE_IT"),
    ]
    manifest = json.loads((clean / "manifest.json").read_text())
    assert manifest["rows"] == {"total": 4, "sources": {"wit/caption": 4}}
    assert data_command(["leaks", str(clean), "--benchmarks", str(benchmarks), "--workers", "1"]) == 0
    assert "0 of 4 rows show a benchmark's image" in capsys.readouterr().out

    # A second run reads no image that the first one could hash.
    opened = []
    monkeypatch.setattr("ndino.data.leaks.hashes.hash_image", lambda content: opened.append(1) or 1 / 0)
    monkeypatch.setattr("ndino.data.leaks.benchmarks.hash_image", lambda content: 1 / 0)
    (mix / "images" / "torn.png").write_bytes(b"")
    # It reads all: an image may be another one under its name, size and time.
    other = next(path for path in sorted((mix / "images").rglob("*.png")) if path.name != "torn.png")
    written, content = other.stat().st_mtime_ns, other.read_bytes()
    other.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(other, ns=(written, written))
    monkeypatch.setattr("ndino.data.leaks.hashes._hash_file", lambda path: f"{path.name} read again")
    assert data_command(command) == 0
    again = json.loads((mix / "leaks.json").read_text())
    assert sorted(again["unread"]["data"]) == sorted(
        f"{path.name}: {path.name} read again" for path in (other, mix / "images" / "torn.png")
    )
    other.write_bytes(content)
    assert data_command(command) == 0
    assert json.loads((mix / "leaks.json").read_text())["table"] == found["table"] and not opened


def test_what_is_not_there_is_refused_before_any_work(benchmarks, tmp_path, capsys):
    mix = write_mix(tmp_path / "mix")
    for arguments, said in (
        ([str(tmp_path / "none"), "--benchmarks", str(benchmarks)], "no such file"),
        ([str(mix), "--benchmarks", str(tmp_path / "none")], "no such folder"),
        ([str(mix), "--benchmarks", str(mix)], "holds no OWNER/NAME/"),
        ([str(mix), "--benchmarks", str(benchmarks), "--drop", str(mix)], "is there already"),
    ):
        assert data_command(["leaks", *arguments]) == 2
        assert said in capsys.readouterr().err
