"""The stamps world, on a small package of made-up stamps laid out as Tux Paint's."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from PIL import Image

from miniature.demo import main
from miniature.worlds.stamp_files import (
    VARIABLE,
    StampsError,
    read_stamps,
)
from miniature.worlds.stamps import StampQuestions, compose, prepare, thing_of
from ndino.evaluation.benchmarks import Benchmarks
from ndino.formats.hub_folders import load_folder
from ndino.formats.llava_json import read_conversations
from ndino.languages.lexicon import stamp_words
from tests.miniature.worlds.stamps_package import COLOURS, FOLDERS, write_package, write_stamp

WORDS = stamp_words("it")


@pytest.fixture(scope="module")
def world(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(package))
        prepare(folder, lang="it", seed=3, fast=True)
    return folder


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
    prepare(tmp_path / "world", lang="it", seed=1, fast=True)
    lines = (tmp_path / "world" / "left-out.txt").read_text(encoding="utf-8").splitlines()
    reasons = dict(line.split(": ", 1) for line in lines)
    assert set(reasons) == {
        *(f"animals/{name}.png" for name in ("unnamed", "cut", "text", "nothing", "latin")),
        "weather/rain.png",
    }
    assert reasons["animals/unnamed.png"] == "unnamed.txt is missing"
    assert reasons["animals/nothing.png"] == "every pixel is transparent"
    assert "topic weather" in reasons["weather/rain.png"] and all(reasons.values())


def test_too_few_stamps_are_one_clear_line(tmp_path, monkeypatch, capsys):
    write_stamp(tmp_path / "package", "animals/frog", "Una rana.")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "package"))
    with pytest.raises(StampsError, match=r"package: 1 usable stamps, at least 40 are needed"):
        prepare(tmp_path / "world", lang="it", seed=1, fast=True)


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
    loaded.load()
    for name in ("gqa-it", "ok-vqa-it", "mtvqa-it", "exams-v-it"):
        task = loaded.task(name).task
        assert task.doc_to_text(task.eval_docs[0]) in asked, name
    task = loaded.task("gqa-it").task
    topics = {"animali", "cibo", "città", "veicoli", "simboli"}
    assert {task.doc_to_target(document) for document in task.eval_docs} <= topics | {
        WORDS.colours[colour] for colour in COLOURS
    }
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


def test_answers_are_what_the_stamp_is(package):
    stamps, left_out = read_stamps(package, WORDS)
    assert not left_out
    rng = random.Random(1)
    for stamp in stamps:
        subject = StampQuestions(stamp, stamps, WORDS)
        assert subject.topic().answer == WORDS.topics[stamp.topic]
        expected = list(COLOURS)[
            FOLDERS["/".join(stamp.name.split("/")[:-1])].split().index(stamp.name.split("/")[-1]) % 5
        ]
        assert subject.colour().answer == WORDS.colours[expected]
        assert subject.name().answer == stamp.name.split("/")[-1]
        choice = subject.choice(rng)
        assert choice.options["ABCD".index(choice.answer)] == stamp.caption
        for category in ("random", "popular", "adversarial"):
            absent = subject.absent(category, rng)
            if category == "adversarial" and stamp.topic != "animals":
                assert absent is None
            else:
                assert absent.place != stamp.place and thing_of(absent, WORDS)
        image = compose(stamp, rng)
        wide = "più larga che alta" in subject.description(image)
        assert wide == (image.width > 1.15 * image.height)


def test_what_is_transparent_shows_the_light_background(package):
    stamp = next(stamp for stamp in read_stamps(package, WORDS)[0] if stamp.name == "food/fruit/kiwi")
    pixels = np.asarray(compose(stamp, random.Random(0)))
    assert pixels[..., 0].min() > 190  # red and light are both bright in red; black corners would not be
    assert (pixels.min(axis=2) > 215).any() and (pixels[..., 1] < 60).any()


def test_a_folder_that_is_not_there_stops_the_demo_with_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    assert main(["--world", "stamps", "--fast", "--out", str(tmp_path / "out")]) == 1
    assert f"{VARIABLE}={tmp_path / 'nowhere'}: no such folder" in capsys.readouterr().err
