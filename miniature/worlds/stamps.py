"""Build the stamps world: real images with their own Italian captions, topics and colours.

There are few stamps for so many topics, and the benchmarks show only things that never occur in training.
Most scores are therefore close to guessing, which the shuffled control shows. This world exercises the
pipeline on real data; it does not measure the recipes.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image

from miniature.worlds.benchmark_files import CATEGORIES, BenchmarkContent, write_benchmark_files
from miniature.worlds.questions import ChoiceQuestion, WorldQuestion, make_choice
from miniature.worlds.stamp_colours import FRUITS, colour_shares
from miniature.worlds.stamp_files import (
    LONG_SIDE,
    StampsError,
    TuxpaintStamp,
    find_stamps,
    read_stamps,
    split_stamps,
)
from miniature.worlds.training_files import DescribedImage, save_image, short_answers, write_training_files
from ndino.common.files import write_text

TOPICS = {
    "animals": "animali",
    "clothes": "vestiti",
    "food": "cibo",
    "hobbies": "passatempi",
    "household": "casa",
    "medical": "medicina",
    "military": "esercito",
    "naturalforces": "natura",
    "people": "persone",
    "plants": "piante",
    "seasonal": "feste",
    "space": "spazio",
    "sports": "sport",
    "symbols": "simboli",
    "town": "città",
    "vehicles": "veicoli",
}
HELD_OUT = 0.15  # share of the stamps
IMAGES_PER_STAMP = 4
FEWEST, FAST_STAMPS = 40, 150
# Share of the pixels from which a colour is the main one, and from which a further colour is mentioned.
CLEAR, MENTIONED = 0.5, 0.15
# Captions that name a thing: "Una mela rossa.", but not "Ricordati di tirare lo sciacquone!".
THING = re.compile(r"(Un |Una |Uno |Un')(\S+(?: \S+){0,3})\.")
# Questions per image in the instruction stage, by kind.
QUESTIONS_PER_IMAGE = {"topic": 2, "colour": 2, "presence": 1, "name": 1, "fruit": 0.25, "choice": 0.25}


class StampQuestions:
    """The questions about a stamp. ``others`` are the stamps on its side of the split, for wrong options."""

    def __init__(self, stamp: TuxpaintStamp, others: Sequence[TuxpaintStamp]) -> None:
        self.stamp, self._others = stamp, others

    @cached_property
    def colours(self) -> list[tuple[str, float]]:
        return colour_shares(self.stamp.image)

    @cached_property
    def unlike(self) -> list[TuxpaintStamp]:
        """Stamps that show something else: from another folder, and with no caption word in common."""
        return [
            other
            for other in self._others
            if thing_of(other) and other.place != self.stamp.place and not other.stems & self.stamp.stems
        ]

    def topic(self) -> WorldQuestion:
        return WorldQuestion("topic", "Qual è l'argomento dell'immagine?", TOPICS[self.stamp.topic])

    def colour(self) -> WorldQuestion | None:
        if not self.colours or self.colours[0][1] < CLEAR:
            return None
        return WorldQuestion("colour", "Qual è il colore principale del soggetto?", self.colours[0][0])

    def fruit(self) -> WorldQuestion | None:
        """Ask for a fruit of the same colour: needs knowledge from outside the image, as OK-VQA does."""
        asked = self.colour()
        fruit = FRUITS[asked.answer] if asked else None
        return (
            WorldQuestion("fruit", "Quale frutto ha lo stesso colore del soggetto?", fruit) if fruit else None
        )

    def name(self) -> WorldQuestion | None:
        found = THING.fullmatch(self.stamp.italian)
        return WorldQuestion("name", "Che cosa mostra l'immagine?", found[2]) if found else None

    def presence(self, thing: TuxpaintStamp) -> WorldQuestion:
        """Ask whether the image shows what the caption of ``thing`` names, as POPE does."""
        answer = "sì" if thing is self.stamp else "no"
        return WorldQuestion("presence", f"C'è {thing_of(thing)} nell'immagine?", answer)

    def present_or_absent(self, rng: random.Random) -> WorldQuestion | None:
        if not thing_of(self.stamp) or not self.unlike:
            return None
        return self.presence(rng.choice([self.stamp, rng.choice(self.unlike)]))

    def absent(self, category: str, rng: random.Random) -> TuxpaintStamp | None:
        """Choose a stamp of something that is not in the image, by POPE's categories; None if there is none.

        "random" is any of them, "popular" one of the most common topic, "adversarial" one of its own
        topic.
        """
        if category == "random":
            candidates = self.unlike
        elif category == "popular":
            topics = Counter(stamp.topic for stamp in self.unlike)
            candidates = [s for s in self.unlike if s.topic == max(topics, key=topics.__getitem__)]
        else:
            candidates = [s for s in self.unlike if s.topic == self.stamp.topic]
        return rng.choice(candidates) if candidates else None

    def choice(self, rng: random.Random) -> ChoiceQuestion | None:
        wrong = sorted({stamp.italian for stamp in self.unlike})
        if not thing_of(self.stamp) or len(wrong) < 3:
            return None
        return make_choice("Che cosa mostra l'immagine?", self.stamp.italian, rng.sample(wrong, 3), rng)

    def description(self, image: Image.Image) -> str:
        """A long Italian answer of several sentences about the stamp as composed in ``image``."""
        sentences = [f"Si vede un'immagine di argomento {TOPICS[self.stamp.topic]}.", self.stamp.italian]
        names = [name for index, (name, share) in enumerate(self.colours) if not index or share >= MENTIONED]
        if names:
            others = f", con parti di colore {' e '.join(names[1:3])}" if names[1:] else ""
            sentences.append(f"Il colore principale è {names[0]}{others}.")
        shape = image.width / image.height
        if shape > 1.15:
            form = "più larga che alta"
        else:
            form = "più alta che larga" if shape < 0.87 else "quasi quadrata"
        sentences.append(f"L'immagine è {form} e lo sfondo è chiaro.")
        return " ".join(sentences)


def prepare(folder: Path, *, seed: int, fast: bool) -> None:
    """Write training files and benchmarks to ``folder``. Held-out stamps do not occur in training.

    Stamps that are left out are listed with the reason in ``left-out.txt``.

    Raises:
        StampsError: there are no stamps, or too few usable ones.
    """
    source = find_stamps()
    stamps, left_out = read_stamps(source)
    left_out += [
        f"{s.name}.png: no Italian name for the topic {s.topic}" for s in stamps if s.topic not in TOPICS
    ]
    stamps = [stamp for stamp in stamps if stamp.topic in TOPICS]
    write_text(folder / "left-out.txt", "".join(f"{line}\n" for line in left_out))
    print(f"stamps: using {len(stamps)} of {source}, left out {len(left_out)}, see {folder}/left-out.txt")
    if len(stamps) < FEWEST:
        raise StampsError(
            f"{source}: {len(stamps)} usable stamps, at least {FEWEST} are needed (remedy: see left-out.txt)"
        )
    rng = random.Random(f"{seed} stamps")
    if fast:
        stamps = rng.sample(stamps, min(FAST_STAMPS, len(stamps)))
    training, held_out = split_stamps(stamps, HELD_OUT, rng)
    _write_training(folder, training, 1 if fast else IMAGES_PER_STAMP, seed)
    _write_benchmarks(folder / "benchmarks", held_out, seed)


def thing_of(stamp: TuxpaintStamp) -> str | None:
    """What the caption names, with its article, as used inside a sentence; None if it names nothing."""
    caption = stamp.italian
    return caption[0].lower() + caption[1:-1] if THING.fullmatch(caption) else None


def compose(stamp: TuxpaintStamp, rng: random.Random) -> Image.Image:
    """Paste the stamp on a light background of random size, margins and shade.

    Neither side is more than about twice the other.
    """
    width, height = (side * rng.uniform(1.05, 1.35) for side in stamp.image.size)
    width, height = max(width, height / 2), max(height, width / 2)
    scale = rng.randint(LONG_SIDE // 2, LONG_SIDE) / max(width, height)
    shade = rng.randint(225, 250)
    image = Image.new(
        "RGB", (round(width * scale), round(height * scale)), (shade, shade, rng.randint(225, 250))
    )
    inner = stamp.image.resize([max(1, round(side * scale)) for side in stamp.image.size])
    left, top = (rng.randint(0, outer - own) for outer, own in zip(image.size, inner.size, strict=True))
    image.paste(inner, (left, top), inner)
    return image


def _write_training(folder: Path, stamps: list[TuxpaintStamp], images: int, seed: int) -> None:
    rng, asking = random.Random(f"{seed} training images"), random.Random(f"{seed} questions")
    described, subjects = [], []
    for number, stamp in enumerate(stamps):
        subject = StampQuestions(stamp, stamps)
        for view in range(images):
            image = compose(stamp, rng)
            name = save_image(folder / "images", f"stamp-{number:04d}-{view}", image)
            english = stamp.english or f"A picture of {stamp.topic}."
            described.append(DescribedImage(name, english, stamp.italian, subject.description(image)))
            subjects.append((name, subject))
    ask = {
        "topic": StampQuestions.topic,
        "colour": StampQuestions.colour,
        "presence": lambda subject: subject.present_or_absent(asking),
        "name": StampQuestions.name,
        "fruit": StampQuestions.fruit,
        "choice": lambda subject: subject.choice(asking),
    }
    write_training_files(folder, described, short_answers(subjects, ask, QUESTIONS_PER_IMAGE, asking), rng)


def _write_benchmarks(folder: Path, stamps: list[TuxpaintStamp], seed: int) -> None:
    rng = random.Random(f"{seed} test images")
    subjects = list(enumerate(StampQuestions(stamp, stamps) for stamp in stamps))
    images = [compose(stamp, rng) for stamp in stamps]
    content = BenchmarkContent(
        images,
        [stamp.italian for stamp in stamps],
        [subject.description(images[index]) for index, subject in subjects],
        gqa=[(i, asked) for i, subject in subjects for asked in (subject.topic(), subject.colour()) if asked],
        ok_vqa=[
            (i, asked) for i, subject in subjects for asked in (subject.name(), subject.fruit()) if asked
        ],
        pope=list(_presence(subjects, rng)),
        seed_bench=[(i, asked) for i, subject in subjects if (asked := subject.choice(rng))],
    )
    write_benchmark_files(folder, content, rng)


def _presence(
    subjects: list[tuple[int, StampQuestions]], rng: random.Random
) -> Iterator[tuple[int, WorldQuestion, str]]:
    """Yield, for every image and category, a question about what is there and one about what is not."""
    for index, subject in subjects:
        for category in CATEGORIES:
            absent = subject.absent(category, rng)
            if absent is not None and thing_of(subject.stamp):
                yield index, subject.presence(subject.stamp), category
                yield index, subject.presence(absent), category
