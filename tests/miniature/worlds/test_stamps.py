"""The stamps world, on a small package of made-up stamps laid out as Tux Paint's."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from miniature import captions
from miniature.demo import main
from miniature.worlds.stamp_colours import FRUITS, colour_shares
from miniature.worlds.stamp_files import (
    INSTALLED,
    PACKAGE,
    VARIABLE,
    StampsError,
    find_stamps,
    read_captions,
    read_stamps,
    split_stamps,
)
from miniature.worlds.stamps import TOPICS, Subject, compose, prepare, thing_of
from ndino.evaluation.benchmarks import Benchmarks
from ndino.formats.hub_folders import load_folder
from ndino.formats.llava_json import read_conversations

COLOURS = {
    "rosso": (200, 30, 30),
    "verde": (30, 160, 60),
    "blu": (40, 60, 200),
    "giallo": (240, 220, 40),
    "nero": (10, 10, 10),
}
FOLDERS = {
    "animals/mammals": "gatto cane cavallo topo orso lupo cervo tasso riccio bisonte leone koala",
    "animals/birds": "merlo corvo gufo falco cigno airone passero picchio tucano struzzo fagiano pavone",
    "food/fruit": "kiwi limone mango lampone fico dattero mirtillo melone ananas ribes mandarino cocomero",
    "town/houses/cartoon": "castello faro mulino ponte tempio fienile palazzo forno porto museo igloo orto",
    "vehicles": "treno autobus trattore camion furgone triciclo veliero aereo elicottero taxi tram canotto",
    "symbols": "triangolo cerchio rombo quadrato asterisco cuore trifoglio picche fulmine fiocco nastro zero",
}


def write_stamp(folder: Path, name: str, caption: str | None, rgb=(200, 30, 30), size=(60, 40)) -> None:
    """A coloured ellipse on nothing, and its text file as the package has them."""
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGBA", (size[0] + 20, size[1] + 20), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((10, 10, size[0] + 9, size[1] + 9), fill=(*rgb, 255))
    image.save(path)
    if caption is not None:
        lines = [f"A {path.stem}.", "af.utf8='n Ding.", f"it.utf8={caption}", "ja.utf8=物"]
        path.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_package(folder: Path) -> Path:
    """Six folders of twelve stamps, in colours and sizes that go round."""
    for place, names in FOLDERS.items():
        for index, name in enumerate(names.split()):
            rgb = list(COLOURS.values())[index % len(COLOURS)]
            write_stamp(folder, f"{place}/{name}", f"Un {name}.", rgb, (40 + 25 * (index % 7), 50))
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def world(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(package))
        prepare(folder, seed=3, fast=True)
    return folder


def test_captions_of_a_text_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(
        "A “knight’s” helmet.\nit_CH.utf8=No.\nit.utf8=  un elmo  “medievale”\nfr.utf8=Un heaume.\n", "utf-8"
    )
    assert read_captions(path) == ('A "knight\'s" helmet.', 'Un elmo "medievale".')


@pytest.mark.parametrize("content", ["A frog.\nes.utf8=Una rana.\n", "A frog.\nit.utf8=\n", ""])
def test_a_missing_italian_caption_is_named(tmp_path, content):
    (tmp_path / "frog.txt").write_text(content)
    with pytest.raises(ValueError, match=r"no Italian caption .*frog\.txt"):
        read_captions(tmp_path / "frog.txt")


def test_english_may_be_missing(tmp_path):
    (tmp_path / "frog.txt").write_text("es.utf8=Una rana.\nit.utf8=Una rana!\n")
    assert read_captions(tmp_path / "frog.txt") == ("", "Una rana!")


@given(caption=st.text(st.characters(exclude_categories=["Cc", "Zl", "Zp", "Cs"]), min_size=1))
def test_any_caption_becomes_one_clean_line(text_file, caption):
    def read(text: str) -> str:
        text_file.write_text(f"A.\nit.utf8={text}\n", encoding="utf-8")
        return read_captions(text_file)[1]

    if caption.split():
        cleaned = read(caption)
        assert cleaned == " ".join(cleaned.split()) and cleaned[0] == cleaned[0].upper()
        assert read(cleaned) == cleaned
    else:
        with pytest.raises(ValueError, match="no Italian caption"):
            read(caption)


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    return tmp_path_factory.mktemp("text") / "a.txt"


def test_what_cannot_be_used_is_left_out_by_name(tmp_path, monkeypatch):
    package = write_package(tmp_path / "package")
    write_stamp(package, "animals/unnamed", None)
    write_stamp(package, "weather/rain", "Una pioggia.")
    write_stamp(package, "animals/cut", "Un taglio.")
    cut = package / "animals" / "cut.png"
    cut.write_bytes(cut.read_bytes()[:60])
    write_stamp(package, "animals/text", "Un testo.")
    (package / "animals" / "text.png").write_text("not an image")
    write_stamp(package, "animals/nothing", "Un nulla.")
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(package / "animals" / "nothing.png")
    write_stamp(package, "animals/latin", "Un altro.")
    (package / "animals" / "latin.txt").write_bytes("A.\nit.utf8=Un caffè.\n".encode("latin-1"))
    monkeypatch.setenv(VARIABLE, str(package))
    prepare(tmp_path / "world", seed=1, fast=True)
    lines = (tmp_path / "world" / "left-out.txt").read_text(encoding="utf-8").splitlines()
    reasons = dict(line.split(": ", 1) for line in lines)
    assert set(reasons) == {
        *(f"animals/{name}.png" for name in ("unnamed", "cut", "text", "nothing", "latin")),
        "weather/rain.png",
    }
    assert reasons["animals/unnamed.png"] == "no unnamed.txt beside it"
    assert reasons["animals/nothing.png"] == "nothing in it can be seen"
    assert "topic weather" in reasons["weather/rain.png"] and all(reasons.values())


def test_too_few_stamps_are_one_clear_line(tmp_path, monkeypatch, capsys):
    write_stamp(tmp_path / "package", "animals/frog", "Una rana.")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "package"))
    with pytest.raises(StampsError, match=r"package: 1 stamps can be used, 40 are needed"):
        prepare(tmp_path / "world", seed=1, fast=True)


@given(seed=st.integers(0, 2**32))
def test_nothing_alike_straddles_the_split(alike, seed):
    training, held_out = split_stamps(alike, 0.25, random.Random(seed))
    assert sorted(stamp.name for stamp in training + held_out) == sorted(stamp.name for stamp in alike)
    assert len(held_out) == pytest.approx(0.25 * len(alike), abs=2)
    for likeness in ("stems", "series"):
        ours, theirs = ({getattr(stamp, likeness) for stamp in side} for side in (training, held_out))
        assert ours.isdisjoint(theirs)


@pytest.fixture(scope="module")
def alike(package, tmp_path_factory):
    """Stamps among which are equal captions, nearly equal ones, a series, and both in a chain."""
    folder = tmp_path_factory.mktemp("alike") / "package"
    shutil.copytree(package, folder)
    write_stamp(folder, "plants/rose", "Una rosa.")
    write_stamp(folder, "plants/roses", "Due rose!")
    write_stamp(folder, "symbols/card-1", "LA ROSA")
    write_stamp(folder, "symbols/card-2", "Una carta.")
    write_stamp(folder, "animals/birds/gufo2", "Un altro gufo.")
    stamps, _ = read_stamps(folder)
    by_name = {stamp.name: stamp for stamp in stamps}
    assert by_name["plants/rose"].stems == by_name["plants/roses"].stems
    assert by_name["symbols/card-1"].series == by_name["symbols/card-2"].series
    return stamps


def test_held_out_captions_are_in_no_training_file(world):
    captions = load_folder(world / "benchmarks" / "captions", split="test")["answer"][:]
    assert len(captions) == round(0.15 * 72)
    trained = {row.turns[-1].text for row in read_conversations(world / "pt.jsonl")}
    assert len(trained - {caption for caption in trained if "cartello" in caption}) == 72 - len(captions)
    everything = "\n".join(path.read_text(encoding="utf-8") for path in world.glob("*.jsonl"))
    for caption in captions:
        assert caption not in everything and f" {thing_of_caption(caption)} " not in everything


def thing_of_caption(caption: str) -> str:
    return caption.removesuffix(".").lower()


def test_every_stage_has_its_file_and_images(world):
    for stage in ("mlp", "pt", "it", "long", "mix"):
        rows = list(read_conversations(world / f"{stage}.jsonl", image_folder=world / "images"))
        assert len(rows) >= 61
    english = [row.turns[-1].text for row in read_conversations(world / "mlp.jsonl")]
    assert "A gatto." in english or "A cane." in english


def test_images_differ_in_size_and_fit_the_grid(world):
    sizes = set()
    for path in sorted((world / "images").glob("stamp-*.png")):
        with Image.open(path) as image:
            assert image.mode == "RGB" and 112 <= max(image.size) <= 224
            assert max(image.size) <= 2.1 * min(image.size)
            corners = [image.getpixel((x, y)) for x in (0, -1) for y in (0, -1)]
            assert max(min(corner) for corner in corners) > 200
            sizes.add(image.size)
    assert len(sizes) > 30


def test_the_unchanged_tasks_read_the_benchmarks_and_training_asks_in_their_words(
    world, monkeypatch, tmp_path
):
    asked = [row.turns[0].text.removeprefix("<image>\n") for row in read_conversations(world / "it.jsonl")]
    loaded = Benchmarks(["ndino-it"], data=world / "benchmarks", limit=None, cache=tmp_path / "cache")
    monkeypatch.chdir(world / "benchmarks")
    loaded.load(shuffled=False)
    for name in ("gqa-it", "ok-vqa-it", "mtvqa-it", "exams-v-it"):
        task = loaded.task(name, shuffled=False)
        assert task.doc_to_text(task.eval_docs[0]) in asked, name
    task = loaded.task("gqa-it", shuffled=False)
    topics = {"animali", "cibo", "città", "veicoli", "simboli"}
    assert {task.doc_to_target(document) for document in task.eval_docs} <= topics | set(COLOURS)
    kinds = json.loads((world / "benchmarks" / "kinds.json").read_text(encoding="utf-8"))
    assert set(kinds["gqa-it"]) == {"topic", "colour"} and set(kinds["ok-vqa-it"]) == {"name", "fruit"}
    assert len(task.eval_docs) == len(kinds["gqa-it"])


def test_half_of_the_presence_questions_are_about_what_is_there(world):
    rows = load_folder(world / "benchmarks" / "swap-uniba" / "POPE_IT", split="test")
    captions = load_folder(world / "benchmarks" / "captions", split="test")
    caption_of = {row["image"].tobytes(): row["answer"] for row in captions}
    assert set(rows["category"]) == {"adversarial", "popular", "random"}
    assert rows["answer"][:].count("sì") * 2 == len(rows)
    for row in rows:
        thing = thing_of_caption(caption_of[row["image"].tobytes()])
        assert (f"C'è {thing} nell'immagine?" == row["question"]) == (row["answer"] == "sì")


@pytest.mark.parametrize("name", COLOURS)
def test_a_plain_image_has_its_colour(name):
    assert colour_shares(Image.new("RGBA", (8, 8), (*COLOURS[name], 255))) == [(name, 1.0)]


@given(rgb=st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_has_a_name(rgb):
    image = Image.new("RGBA", (4, 4), (*rgb, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    assert [share for _, share in colour_shares(image)] == [1.0]
    assert colour_shares(image)[0][0] in FRUITS


def test_answers_are_what_the_stamp_is(package):
    stamps, left_out = read_stamps(package)
    assert not left_out
    rng = random.Random(1)
    for stamp in stamps:
        subject = Subject(stamp, stamps)
        assert subject.topic().answer == TOPICS[stamp.topic]
        expected = list(COLOURS)[
            FOLDERS["/".join(stamp.name.split("/")[:-1])].split().index(stamp.name.split("/")[-1]) % 5
        ]
        assert subject.colour().answer == expected
        assert subject.name().answer == stamp.name.split("/")[-1]
        choice = subject.choice(rng)
        assert choice.options["ABCD".index(choice.answer)] == stamp.italian
        for category in ("random", "popular", "adversarial"):
            absent = subject.absent(category, rng)
            if category == "adversarial" and stamp.topic != "animals":
                assert absent is None
            else:
                assert absent.place != stamp.place and thing_of(absent)
        image = compose(stamp, rng)
        wide = "più larga che alta" in subject.description(image)
        assert wide == (image.width > 1.15 * image.height)


def test_what_is_transparent_shows_the_light_background(package):
    stamp = next(stamp for stamp in read_stamps(package)[0] if stamp.name == "food/fruit/kiwi")
    pixels = np.asarray(compose(stamp, random.Random(0)))
    assert pixels[..., 0].min() > 190  # red and light are both bright in red; black corners would not be
    assert (pixels.min(axis=2) > 215).any() and (pixels[..., 1] < 60).any()


def test_captions_of_images_of_several_sizes_are_as_of_one_at_a_time(
    world, tiny_model_folder, tmp_path, monkeypatch
):
    def answers(batch: int) -> list[list[str]]:
        monkeypatch.setattr(captions, "BATCH", batch)
        data, out = world / "benchmarks" / "captions", tmp_path / str(batch)
        captions.score_captions("tiny", tiny_model_folder, data, out, lambda done, of: None)
        logs = [out / "tiny" / f"captions{end}.jsonl" for end in ("", ".shuffled")]
        return [[json.loads(line)["answer"] for line in log.read_text("utf-8").splitlines()] for log in logs]

    right, shuffled = answers(60)
    assert [right, shuffled] == answers(1)
    assert right != shuffled and len(set(right)) > 1


def test_a_folder_that_is_not_there_stops_the_demo_with_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    assert main(["--world", "stamps", "--fast", "--out", str(tmp_path / "out")]) == 1
    assert f"{VARIABLE}={tmp_path / 'nowhere'}: no such folder" in capsys.readouterr().err


needs_dpkg = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed"),
    pytest.mark.skipif(INSTALLED.is_dir(), reason=f"{PACKAGE} is installed, nothing is fetched"),
]


@pytest.fixture
def archive(package, tmp_path, monkeypatch):
    """A real Debian package, and an ``apt-get`` that hands it out instead of downloading it."""
    root = tmp_path / "root"
    shutil.copytree(package, root / INSTALLED.relative_to("/"))
    (root / INSTALLED.relative_to("/") / "animals" / "moo.ogg").write_bytes(b"moo")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(
        f"Package: {PACKAGE}\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: stamps\n"
    )
    subprocess.run(["dpkg-deb", "--build", root, tmp_path / "a.deb"], check=True, stdout=subprocess.DEVNULL)
    programs = tmp_path / "bin"
    programs.mkdir()
    apt = programs / "apt-get"
    apt.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\ncp {tmp_path}/a.deb ./stamps_1_all.deb\n")
    apt.chmod(0o755)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return apt


class TestFetching:
    pytestmark = needs_dpkg

    def test_the_package_is_fetched_once_and_only_what_is_used_stays(self, archive, tmp_path):
        said = []
        killed = tmp_path / "cache" / "ndino" / f"{PACKAGE}.partial"
        killed.mkdir(parents=True)
        (killed / "half.deb").write_bytes(b"half")
        folder = find_stamps(said.append)
        assert len(said) == 1 and "161 MB" in said[0]
        assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".png", ".txt"}
        assert len(read_stamps(folder)[0]) == 72 and not killed.exists()
        (tmp_path / "asked").unlink()
        assert find_stamps(said.append) == folder and len(said) == 1
        assert not (tmp_path / "asked").exists()

    def test_what_a_killed_start_left_running_is_waited_for(self, archive, tmp_path):
        whole = archive.read_text()
        archive.write_text(whole.replace("cp ", "sleep 1\ntouch late\ncp "))
        start = [sys.executable, "-c", "from miniature.worlds.stamp_files import find_stamps; find_stamps()"]
        killed = subprocess.Popen(start, stdout=subprocess.DEVNULL)
        while not (tmp_path / "asked").exists():
            time.sleep(0.02)
        killed.kill()
        killed.wait()
        archive.write_text(whole)
        said = []
        folder = find_stamps(said.append)
        assert [line.split()[1] for line in said] == ["waiting", "downloading"]
        assert len(read_stamps(folder)[0]) == 72
        assert not any(tmp_path.glob("cache/ndino/**/late"))

    def test_a_failed_download_says_why_and_leaves_nothing_that_looks_whole(self, archive, tmp_path):
        archive.write_text(
            "#!/bin/sh\necho 'W: slow' >&2\necho 'E: Unable to locate package' >&2\nexit 100\n"
        )
        with pytest.raises(
            StampsError, match=r"E: Unable to locate package \(remedy.*apt-get update"
        ) as error:
            find_stamps()
        assert PACKAGE in str(error.value) and VARIABLE in str(error.value)
        assert not (tmp_path / "cache" / "ndino" / PACKAGE).exists()

    def test_without_apt_get_the_package_is_named(self, archive, tmp_path, monkeypatch):
        archive.unlink()
        monkeypatch.setenv("PATH", str(archive.parent))
        with pytest.raises(StampsError, match=rf"no apt-get .*{PACKAGE}.*{VARIABLE}"):
            find_stamps()
