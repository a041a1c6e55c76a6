"""The drawn world: what is said about a scene is what is drawn, and test scenes are unseen."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from miniature.worlds import questions
from miniature.worlds.drawn import prepare
from miniature.worlds.scenes import COLOURS, PLACES, QUADRANT, SHAPES, distinct_scenes, random_scene
from miniature.worlds.signs import random_sheet
from ndino.evaluation.benchmarks import Benchmarks
from ndino.formats.llava_json import read_conversations

seeds = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    prepare(folder, seed=3, fast=True)
    return folder


def centre_colour(image: Image.Image, quadrant: int) -> tuple[int, int, int]:
    """The most saturated pixel of a quadrant, which is a pixel of its shape."""
    left, top = QUADRANT * (quadrant % 2), QUADRANT * (quadrant // 2)
    pixels = image.crop((left, top, left + QUADRANT, top + QUADRANT)).getdata()
    return max(pixels, key=lambda pixel: max(pixel) - min(pixel))


@given(seed=seeds)
def test_the_image_shows_what_the_scene_says(seed):
    rng = random.Random(seed)
    scene = random_scene(rng)
    image = scene.draw(rng)
    for quadrant, thing in enumerate(scene.quadrants):
        pixel = centre_colour(image, quadrant)
        if thing is None:
            assert max(pixel) - min(pixel) < 40
        else:
            nearest = min(
                range(len(COLOURS)),
                key=lambda c: sum((a - b) ** 2 for a, b in zip(COLOURS[c].rgb, pixel, strict=True)),
            )
            assert nearest == thing.colour


@given(seed=seeds)
def test_texts_name_every_thing_and_nothing_else(seed):
    scene = random_scene(random.Random(seed))
    caption, description = scene.caption(), scene.description()
    for place, quadrant in zip(PLACES, scene.quadrants, strict=True):
        assert (place in caption) == (quadrant is not None)
        assert (place in description.lower()) == (quadrant is not None)
    assert caption.count(",") == len(scene.things) - 1
    for index, noun in enumerate(SHAPES):
        assert (noun.italian in caption) == (index in scene.shapes)
        assert noun.italian in description


@given(seed=seeds)
def test_answers_follow_from_the_scene(seed):
    rng = random.Random(seed)
    scene = random_scene(rng)
    assert questions.NUMBERS.index(questions.count(scene, rng).answer) == len(scene.things)
    if asked := questions.colour(scene, rng):
        (thing,) = [t for _, t in scene.things if t.noun.italian in asked.text]
        assert asked.answer == thing.colour_name
    for shape in range(len(SHAPES)):
        assert (questions.presence(scene, shape).answer == "sì") == (shape in scene.shapes)
    for category in ("random", "popular", "adversarial"):
        absent = questions.absent_shape(scene, category, rng)
        assert absent not in scene.shapes
        assert (absent is None) == (len(set(scene.shapes)) == len(SHAPES))
    choice = questions.choice(scene, rng)
    right = choice.options[questions.LETTERS.index(choice.answer)]
    assert len(set(choice.options)) == 4
    (place,) = [place for place in PLACES if place in choice.text]
    assert dict(scene.things)[place].italian() == right


@given(seed=seeds)
def test_a_sheet_has_one_right_option(seed):
    sheet = random_sheet(random.Random(seed))
    assert len(set(sheet.options)) == 4
    assert sheet.options["ABCD".index(sheet.answer)] == sheet.left + sheet.right


def test_scenes_are_distinct_and_follow_from_the_seed():
    scenes = distinct_scenes(random.Random(1), 500)
    assert len(set(scenes)) == 500
    assert scenes == distinct_scenes(random.Random(1), 500)
    assert scenes != distinct_scenes(random.Random(2), 500)


def test_training_files_are_valid_and_share_no_scene_with_the_benchmarks(world):
    from datasets import load_dataset

    trained = set()
    for stage in ("mlp", "pt", "it", "long", "mix"):
        rows = list(read_conversations(world / f"{stage}.jsonl", image_folder=world / "images"))
        assert len(rows) >= 200
        if stage == "pt":
            trained = {row.turns[1].text for row in rows}
    tested = set(load_dataset(str(world / "benchmarks" / "captions"), split="test")["answer"])
    assert len(tested) == 24 and not tested & trained


def test_the_instruction_file_asks_the_benchmarks_questions_in_their_words(world):
    benchmarks = Benchmarks(["ndino-it"], data=world / "benchmarks", limit=None)
    asked = Counter()
    for row in read_conversations(world / "it.jsonl"):
        asked[row.turns[0].text.removeprefix("<image>\n")] += 1
    import os

    before = os.getcwd()
    os.chdir(world / "benchmarks")
    try:
        for name in ("ok-vqa-it", "mtvqa-it", "exams-v-it", "pope-it"):
            task = benchmarks.task(name, shuffled=False).task
            document = task.test_docs()[0]
            assert asked[task.doc_to_text(document)] > 0, name
    finally:
        os.chdir(before)


def test_kinds_cover_every_question(world):
    from datasets import load_dataset

    kinds = json.loads((world / "benchmarks" / "kinds.json").read_text())
    gqa = load_dataset(str(world / "benchmarks" / "crux82" / "gqa-it"), split="test")
    assert len(kinds["gqa-it"]) == len(gqa)
    for kind, question in zip(kinds["gqa-it"], gqa["sent"], strict=True):
        assert (kind == "colour") == question.startswith("Di che colore")


def test_the_same_seed_writes_the_same_files(world, tmp_path):
    prepare(tmp_path, seed=3, fast=True)
    for path in sorted(world.glob("*.jsonl")):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    images = sorted((world / "images").iterdir())
    assert all(path.read_bytes() == (tmp_path / "images" / path.name).read_bytes() for path in images)
