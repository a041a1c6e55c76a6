"""Planted copies of a benchmark's images are found in training data; unrelated and similar ones are not."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from datasets import Dataset
from PIL import Image

from fixtures.pages import PAGES
from fixtures.photographs import COPIES, photograph, png
from ndino.data.leaks.benchmarks import BenchmarkIndex, plain
from ndino.data.leaks.hashes import HashStore, hash_image
from ndino.data.leaks.matching import SEEN, Match, Matcher
from ndino.formats.questions.errors import QuestionsError
from tests.commands import data as data_command

ORIGINALS = range(12)
UNRELATED = range(100, 130)
GENERIC = "C'è un gatto grigio sul divano?"  # asked about every image


def specific(seed: int) -> str:
    return f"Quante sono le cose, dette {seed}?"


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
            for question in (GENERIC, specific(seed))
        ]
    (pope / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    gqa = folder / "lmms-lab" / "GQA"
    gqa.mkdir(parents=True)
    (gqa / "n1.png").write_bytes(png(photograph(1)))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> HashStore:
    return HashStore(tmp_path_factory.mktemp("store") / "hashes.sqlite")


@pytest.fixture(scope="module")
def index(benchmarks, store) -> BenchmarkIndex:
    return BenchmarkIndex(benchmarks, store)


def matched(index: BenchmarkIndex, store: HashStore, folder: Path, files: list[bytes]) -> list[list[Match]]:
    """What a search finds for these image files, which it opens in ``folder``."""
    paths = [folder / str(number) for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    with Matcher(index, store, workers=1) as matcher:
        found = matcher.match(paths)
    return [matches for matches in found if not isinstance(matches, str)]


# Found rates; a crop of a fifth changes too much, and that is what the docs say.
RATES = {**dict.fromkeys(COPIES, 1.0), "cropped by 20 %": 0.0}


@pytest.mark.parametrize("copy", COPIES)
def test_the_rate_of_found_copies(copy, index, store, tmp_path):
    found = matched(index, store, tmp_path, [COPIES[copy](photograph(seed)) for seed in ORIGINALS])
    kinds = [{match.kind for match in matches} for matches in found]
    assert len(kinds) == len(ORIGINALS)
    kind = "exact" if copy == "exact" else "near"
    assert sum(own == {kind} for own in kinds) / len(kinds) == RATES[copy]
    assert RATES[copy] == 1 or not any(kinds)


def test_unrelated_images_are_not_found(index, store, tmp_path):
    assert not any(matched(index, store, tmp_path, [png(photograph(seed)) for seed in UNRELATED]))


@pytest.mark.parametrize("kind", PAGES)
def test_copies_of_drawn_pages_are_found_and_others_of_the_same_layout_are_not(kind, tmp_path):
    copies = ("resized and recompressed", "recompressed", "cropped by 5 %")
    folder = tmp_path / "benchmarks" / "owner" / "set"
    folder.mkdir(parents=True)
    for seed in range(len(copies)):
        (folder / f"{seed}.png").write_bytes(png(PAGES[kind](seed)))
    store = HashStore(tmp_path / "hashes.sqlite")
    index = BenchmarkIndex(tmp_path / "benchmarks", store)
    files = [COPIES[copy](PAGES[kind](seed)) for seed, copy in enumerate(copies)]
    others = [png(PAGES[kind](seed)) for seed in range(50, 54)]
    found = matched(index, store, tmp_path, [*files, *others])
    assert [[(match.image, match.kind) for match in matches if match.kind in SEEN] for matches in found] == [
        [(0, "near")], [(1, "near")], [(2, "near")], [], [], [], []
    ]  # fmt: skip


def test_sheets_that_differ_in_a_digit_are_possible_and_say_so(tmp_path):
    """They agree like a copy in the large blocks, also where one is halved, cropped or recompressed."""
    folder = tmp_path / "benchmarks" / "owner" / "set"
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(png(PAGES["one digit apart"](0)))
    store = HashStore(tmp_path / "hashes.sqlite")
    index = BenchmarkIndex(tmp_path / "benchmarks", store)
    copies = ("exact", "resized", "recompressed", "cropped by 5 %")
    files = [COPIES[copy](PAGES["one digit apart"](seed)) for copy in copies for seed in (3, 9, 22)]
    found = [match for (match,) in matched(index, store, tmp_path, files)]
    assert [match.kind for match in found] == ["possible"] * len(files)
    alike = [match for match in found if match.agreement is not None and match.agreement >= 0.95]
    assert len(alike) > len(files) / 2 and all(match.differs for match in alike)


def test_what_is_too_plain_to_tell_is_possible(tmp_path):
    """Two shades of one grey, and a photograph of which a part is covered: alike, but not the same."""
    folder = tmp_path / "benchmarks" / "owner" / "set"
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(png(Image.new("RGB", (320, 240), (200, 200, 200))))
    (folder / "1.png").write_bytes(png(photograph(0)))
    covered = photograph(0)
    covered.paste((128, 128, 128), (0, 150, 130, 240))
    store = HashStore(tmp_path / "hashes.sqlite")
    index = BenchmarkIndex(tmp_path / "benchmarks", store)
    files = [png(Image.new("RGB", (300, 200), (204, 204, 204))), png(covered)]
    (grey,), (part,) = matched(index, store, tmp_path, files)
    assert (grey.image, grey.kind, grey.agreement) == (0, "possible", None)
    assert (part.image, part.kind) == (1, "possible")
    assert part.agreement is not None and 0.75 <= part.agreement < 0.95


def test_the_languages_of_a_set_that_are_there_are_read(store, tmp_path):
    folder = tmp_path / "CohereLabs" / "m-WildVision"
    for number, code in enumerate(("ita_Latn", "spa_Latn")):
        (folder / code).mkdir(parents=True)
        row = {"image": {"bytes": png(photograph(500 + number)), "path": None}, "prompt": f"Domanda {code}?"}
        Dataset.from_list([row]).to_parquet(folder / code / "test.parquet")
    configs = "".join(
        f"- config_name: {code}\n  data_files:\n  - split: test\n    path: {code}/test*\n"
        for code in ("arb_Arab", "ita_Latn", "spa_Latn")
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n", encoding="utf-8")
    (found,) = BenchmarkIndex(tmp_path, store).benchmarks.values()
    assert (found.rows, [*found.questions]) == (2, ["domanda ita_latn", "domanda spa_latn"])
    assert len(found.images) == 2 and not found.unread


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("configs:\n- config_name: [", "README.md: its header is no YAML"),
        ("configs:\n- data_files: data/test*\n", "README.md names data/test.* and no file is there"),
    ],
)
def test_a_set_that_cannot_be_read_is_not_taken_for_one_without_questions(store, tmp_path, header, said):
    folder = tmp_path / "owner" / "SET"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(f"---\n{header}\n---\n", encoding="utf-8")
    with pytest.raises(QuestionsError, match=rf"{said}.* \(remedy: "):
        BenchmarkIndex(tmp_path, store)


def test_a_list_of_images_in_a_row_is_read_as_m3exam_has_it(store, tmp_path):
    exams = tmp_path / "floschne" / "multimodal-m3exam"
    exams.mkdir(parents=True)
    encoded = [{"bytes": png(photograph(seed)), "path": None} for seed in (1, 2, 3)]
    rows = [
        {"question_text": specific(1), "images": encoded[:1]},
        {"question_text": specific(2), "images": encoded[1:]},
        {"question_text": specific(3), "images": []},
    ]
    Dataset.from_list(rows).to_parquet(exams / "italian.parquet")
    index = BenchmarkIndex(tmp_path, store)
    found = index.benchmarks["floschne/multimodal-m3exam"]
    assert (index.images, found.rows, found.unread) == (3, 3, [])
    assert [len(found.questions[plain(specific(number))]) for number in (1, 2, 3)] == [1, 2, 0]


def test_an_image_of_two_benchmarks_is_reported_for_both(index, store, tmp_path):
    ((first, second),) = matched(index, store, tmp_path, [png(photograph(1))])
    assert (first.benchmark, second.benchmark) == ("lmms-lab/GQA", "swap-uniba/POPE_IT")
    assert index.images == len(ORIGINALS)


def test_an_interrupted_index_keeps_its_whole_chunks(benchmarks, tmp_path, monkeypatch):
    hashed = []

    def interrupted(image: Image.Image):
        if len(hashed) == 7:
            raise KeyboardInterrupt
        hashed.append(hash_image(image))
        return hashed[-1]

    store = HashStore(tmp_path / "hashes.sqlite")
    monkeypatch.setattr("ndino.data.leaks.benchmarks.CHUNK", 5)
    monkeypatch.setattr("ndino.data.leaks.benchmarks.hash_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        BenchmarkIndex(benchmarks, store)
    # GQA's image is kept with its data set, five of POPE's as a chunk, and one is hashed again.
    again = []
    monkeypatch.setattr(
        "ndino.data.leaks.benchmarks.hash_image", lambda image: again.append(1) or hash_image(image)
    )
    assert BenchmarkIndex(benchmarks, store).images == len(ORIGINALS)
    assert len(again) == len(ORIGINALS) - 6


@pytest.mark.parametrize(
    "asked",
    [
        "<image>\n" + GENERIC,
        "c'e un gatto grigio sul divano",
        GENERIC + "\nRispondi utilizzando una sola parola o frase.",
        "Rispondi in breve.\n" + GENERIC,
    ],
)
def test_a_question_is_known_whatever_surrounds_it(asked, index):
    assert set(index.asking([asked])) == {"swap-uniba/POPE_IT"}
    assert not index.asking([asked.replace("gatto", "cane").replace("un ", "dieci ")])
    assert plain("  ") == ""


def write_mix(folder: Path) -> Path:
    """Rows with an exact copy, a recompressed one with its question, a covered one, others, and text alone.

    The generic question is asked about the benchmark's image and another; of two specific ones that are asked
    about other images, one recurs.
    """
    (folder / "images").mkdir(parents=True)
    covered = photograph(3)
    covered.paste((128, 128, 128), (0, 150, 130, 240))
    images = {
        "exact.png": COPIES["exact"](photograph(0)),
        "near.jpg": COPIES["recompressed"](photograph(1)),
        "part.png": png(covered),
        "other.png": png(photograph(200)),
        "torn.png": png(photograph(2))[:-500],
    }
    for name, content in images.items():
        (folder / "images" / name).write_bytes(content)
    rows = [
        ("a", "cauldron/vqav2", "exact.png", GENERIC),
        ("b", "cauldron/vqav2", "near.jpg", specific(1)),
        ("c", "wit/caption", "other.png", GENERIC),
        ("d", "wit/caption", "other.png", specific(5)),
        ("e", "wit/caption", "torn.png", specific(6)),
        ("f", "wit/caption", None, specific(6)),
        ("g", "wit/caption", "part.png", "Dove?"),
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
    assert "2 of 7 rows show a benchmark's image" in printed and "torn.png" in printed
    assert "1 more rows possibly do" in printed
    found = json.loads((mix / "leaks.json").read_text())
    assert (found["leaked"], found["possible"]) == (2, 1)
    nothing = dict.fromkeys(("exact", "near", "possible", "question", "text"), 0)
    assert found["table"] == {
        "cauldron/vqav2": {
            "lmms-lab/GQA": {**nothing, "near": 1},
            "swap-uniba/POPE_IT": {**nothing, "exact": 1, "near": 1, "question": 1},
        },
        "wit/caption": {"swap-uniba/POPE_IT": {**nothing, "possible": 1, "text": 1}},
    }
    assert found["benchmarks"]["swap-uniba/POPE_IT"] == {
        "rows": 24, "images": 12, "images_of": None, "exact": 1, "near": 1, "possible": 1, "rows_seen": 4,
        "texts": 13, "generic": 1,
    }  # fmt: skip
    rows = [json.loads(line) for line in (mix / "leaks.jsonl").read_text().splitlines()]
    shown = [(row["id"], row["row"], {match["kind"] for match in row["matches"]}) for row in rows]
    assert shown == [("a", 1, {"exact"}), ("b", 2, {"near"}), ("g", 7, {"possible"})]
    pope, gqa = benchmarks / "swap-uniba" / "POPE_IT" / "test.jsonl", benchmarks / "lmms-lab" / "GQA"
    assert [match["shown_in"] for match in rows[1]["matches"]] == [
        {"file": str(gqa / "n1.png")},
        {"file": str(pope), "row": 3, "image": "images/1.png"},
    ]

    kept = [json.loads(line) for line in (clean / "data.jsonl").read_text().splitlines()]
    assert [row["id"] for row in kept] == ["c", "d", "e", "f", "g"]
    assert sorted(path.name for path in (clean / "images").iterdir()) == ["other.png", "part.png", "torn.png"]
    rejects = [json.loads(line) for line in (clean / "rejects.jsonl").read_text().splitlines()]
    assert [(row["id"], row["reason"]) for row in rejects] == [
        ("a", "shows an image of swap-uniba/POPE_IT (exact)"),
        ("b", "shows an image of lmms-lab/GQA (near), swap-uniba/POPE_IT (near)"),
    ]
    manifest = json.loads((clean / "manifest.json").read_text())
    assert manifest["rows"] == {"total": 5, "sources": {"wit/caption": 5}}
    assert manifest["settings"]["possible"] == "1 rows kept"
    assert data_command(["leaks", str(clean), "--benchmarks", str(benchmarks), "--workers", "1"]) == 0
    assert "0 of 5 rows show a benchmark's image" in capsys.readouterr().out

    # A second run reads no image that the first one could hash, and compares no pair again.
    monkeypatch.setattr("ndino.data.leaks.benchmarks.hash_image", lambda image: 1 / 0)
    monkeypatch.setattr("ndino.data.leaks.matching._compare_file", lambda task: 1 / 0)
    (mix / "images" / "torn.png").write_bytes(b"")
    # It reads all: an image may be another one under its name, size and time.
    other = mix / "images" / "other.png"
    written, content = other.stat().st_mtime_ns, other.read_bytes()
    other.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(other, ns=(written, written))
    monkeypatch.setattr("ndino.data.leaks.matching._hash_file", lambda path: f"{path.name} read again")
    assert data_command(command) == 0
    again = json.loads((mix / "leaks.json").read_text())
    assert sorted(again["unread"]["data"]) == [
        f"{name}: {name} read again" for name in ("other.png", "torn.png")
    ]
    other.write_bytes(content)
    assert data_command(command) == 0
    assert json.loads((mix / "leaks.json").read_text())["table"] == found["table"]


def test_where_all_questions_are_one_sentence_none_counts_as_known(tmp_path, capsys):
    """MTVQA's kind: a 0 in place of the dash would say that questions were compared."""
    mix = write_mix(tmp_path / "mix")
    sheets = tmp_path / "benchmarks" / "owner" / "sheets"
    sheets.mkdir(parents=True)
    rows = []
    for seed in range(3):
        (sheets / f"{seed}.png").write_bytes(png(photograph(seed)))
        rows.append({"image": f"{seed}.png", "question": GENERIC, "answer": "no"})
    (sheets / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert (
        data_command(["leaks", str(mix), "--benchmarks", str(tmp_path / "benchmarks"), "--workers", "1"]) == 0
    )
    printed = capsys.readouterr().out.splitlines()
    (row,) = [line for line in printed if line.startswith("| cauldron/vqav2")]
    assert [cell.strip() for cell in row.split("|")[3:8]] == ["1", "1", "0", "-", "-"]
    assert not any(line.startswith("| wit/caption") for line in printed)


def gqa_it(folder: Path, *, as_files: bool) -> Path:
    """Questions that name images by id, and those as files or as rows, of which one is missing."""
    questions, images = folder / "crux82" / "gqa-it", folder / "lmms-lab" / "GQA"
    questions.mkdir(parents=True)
    images.mkdir(parents=True)
    rows = [
        {"img_id": f"n{seed}", "question_id": f"q{seed}", "sent": specific(seed), "label": "due"}
        for seed in (0, 1, 1, 99)
    ]
    (questions / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for seed in (0, 1):
        (images / f"n{seed}.png").write_bytes(png(photograph(seed)))
    if not as_files:
        listed = [{"id": f"n{seed}", "image": f"n{seed}.png"} for seed in (0, 1)]
        (images / "testdev.jsonl").write_text("\n".join(map(json.dumps, listed)))
    return folder


@pytest.mark.parametrize("as_files", [True, False])
def test_images_that_a_benchmark_names_by_id_are_those_of_the_data_set_that_holds_them(
    as_files, tmp_path, capsys
):
    mix, benchmarks = write_mix(tmp_path / "mix"), gqa_it(tmp_path / "benchmarks", as_files=as_files)
    assert data_command(["leaks", str(mix), "--benchmarks", str(benchmarks), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "crux82/gqa-it: its images are those of lmms-lab/GQA" in printed
    assert f"{benchmarks}/crux82/gqa-it/test.jsonl row 4: image n99 is not in lmms-lab/GQA" in printed
    found = json.loads((mix / "leaks.json").read_text())
    assert found["benchmarks"]["crux82/gqa-it"] == {
        "rows": 4, "images": 2, "images_of": "lmms-lab/GQA", "exact": 1, "near": 1, "possible": 0,
        "rows_seen": 3, "texts": 3, "generic": 0,
    }  # fmt: skip
    # Row b asks the question of that image, row a another.
    assert found["table"]["cauldron/vqav2"]["crux82/gqa-it"] == {
        "exact": 1, "near": 1, "possible": 0, "question": 1, "text": 0,
    }  # fmt: skip


def test_a_benchmark_whose_images_are_not_there_has_dashes_and_no_zeros(tmp_path, capsys):
    mix, benchmarks = write_mix(tmp_path / "mix"), gqa_it(tmp_path / "benchmarks", as_files=True)
    (benchmarks / "lmms-lab" / "GQA").rename(benchmarks / "lmms-lab" / ".GQA")
    assert data_command(["leaks", str(mix), "--benchmarks", str(benchmarks), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert f"crux82/gqa-it: not compared, no images of it are in {benchmarks}" in printed
    (row,) = [line for line in printed.splitlines() if line.startswith("| crux82/gqa-it")]
    assert [cell.strip() for cell in row.split("|")[2:-1]] == ["-", "-", "-", "-", "4", "-", "3", "1"]


def test_invalid_rows_are_named_together_before_any_image_is_read(benchmarks, tmp_path, capsys, monkeypatch):
    mix = write_mix(tmp_path / "mix")
    monkeypatch.setattr("ndino.data.leaks.benchmarks.read_image", lambda encoded: 1 / 0)
    command = ["leaks", str(mix), "--benchmarks", str(benchmarks), "--workers", "1"]
    data = mix / "data.jsonl"
    good = data.read_text()
    data.write_text(good + '{"id": ""}\n')
    assert data_command(command) == 1
    assert f"{data} row 8: no id (remedy: give every row an id)" in capsys.readouterr().err
    data.write_text('{"id": ""}\n' * 12 + good)
    assert data_command(command) == 1
    said = capsys.readouterr().err
    assert f"{data}: 12 rows are invalid: row 1: no id; row 2: no id;" in said
    assert "row 10: no id; and 2 more (remedy: give every row an id)" in said and "row 11" not in said


@pytest.mark.parametrize("package", ["imagehash", "pytablewriter"])
def test_a_package_that_is_not_installed_is_named_before_any_image_is_read(
    package, benchmarks, tmp_path, capsys, monkeypatch
):
    mix = write_mix(tmp_path / "mix")
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("ndino.data.leaks.benchmarks.read_image", lambda encoded: 1 / 0)
    assert data_command(["leaks", str(mix), "--benchmarks", str(benchmarks), "--workers", "1"]) == 1
    message = capsys.readouterr().err
    assert message == f"ndino data leaks: the package {package} is not installed (remedy: make setup)\n"


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


def test_rows_of_text_alone_show_no_image_and_need_no_folder_of_images(benchmarks, tmp_path, capsys):
    asked = {"from": "human", "value": "Chi sei?"}
    rows = [{"id": str(n), "conversations": [asked, {"from": "gpt", "value": f"Il {n}."}]} for n in range(3)]
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ["leaks", str(tmp_path / "text"), "--benchmarks", str(benchmarks), "--workers", "1"]
    assert data_command([*command, "--drop", str(tmp_path / "clean")]) == 0
    assert "0 of 3 rows show a benchmark's image" in capsys.readouterr().out
    assert len((tmp_path / "clean" / "data.jsonl").read_text().splitlines()) == 3
