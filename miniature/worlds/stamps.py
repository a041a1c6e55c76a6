"""The stamps world: real images with their own Italian captions, topics and colours.

Tux Paint's stamps are few for so many topics, and what they show in the benchmarks was never shown in
training: most scores are those of a model that guesses, and the shuffled images say which. It is an
exercise on real data, not a measure of the recipes.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image

from miniature.worlds.exam import CATEGORIES, Exam, write_exam
from miniature.worlds.questions import Choice, Question, make_choice
from miniature.worlds.stages import Described, save_image, short_answers, write_stages
from miniature.worlds.stamp_colours import FRUITS, colour_shares
from miniature.worlds.stamp_files import LONG_SIDE, Stamp, StampsError, find_stamps, read_stamps, split_stamps
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
HELD_OUT = 0.15
IMAGES_A_STAMP = 4
FEWEST, FAST_STAMPS = 40, 150
# A colour is asked for where this share of the pixels has it, and mentioned from the second on.
CLEAR, MENTIONED = 0.5, 0.15
# "Una mela rossa." names a thing; "Ricordati di tirare lo sciacquone!" does not.
THING = re.compile(r"(Un |Una |Uno |Un')(\S+(?: \S+){0,3})\.")
# Questions about each image of the instruction stage, by kind.
ASKED = {"topic": 2, "colour": 2, "presence": 1, "name": 1, "fruit": 0.25, "choice": 0.25}


class Subject:
    """A stamp and what can be asked about it, given the ``others`` of its side of the split."""

    def __init__(self, stamp: Stamp, others: Sequence[Stamp]) -> None:
        self.stamp, self._others = stamp, others

    @cached_property
    def colours(self) -> list[tuple[str, float]]:
        return colour_shares(self.stamp.image)

    @cached_property
    def unlike(self) -> list[Stamp]:
        """Stamps of other things: from another folder, and with no word of the caption in common."""
        return [
            other
            for other in self._others
            if thing_of(other) and other.place != self.stamp.place and not other.stems & self.stamp.stems
        ]

    def topic(self) -> Question:
        return Question("topic", "Qual è l'argomento dell'immagine?", TOPICS[self.stamp.topic])

    def colour(self) -> Question | None:
        if not self.colours or self.colours[0][1] < CLEAR:
            return None
        return Question("colour", "Qual è il colore principale del soggetto?", self.colours[0][0])

    def fruit(self) -> Question | None:
        """A fruit of the same colour: needs knowledge from outside the image, as OK-VQA does."""
        asked = self.colour()
        fruit = FRUITS[asked.answer] if asked else None
        return Question("fruit", "Quale frutto ha lo stesso colore del soggetto?", fruit) if fruit else None

    def name(self) -> Question | None:
        found = THING.fullmatch(self.stamp.italian)
        return Question("name", "Che cosa mostra l'immagine?", found[2]) if found else None

    def presence(self, thing: Stamp) -> Question:
        """POPE's question for what the caption of ``thing`` names."""
        answer = "sì" if thing is self.stamp else "no"
        return Question("presence", f"C'è {thing_of(thing)} nell'immagine?", answer)

    def present_or_absent(self, rng: random.Random) -> Question | None:
        if not thing_of(self.stamp) or not self.unlike:
            return None
        return self.presence(rng.choice([self.stamp, rng.choice(self.unlike)]))

    def absent(self, category: str, rng: random.Random) -> Stamp | None:
        """A thing that is not there: any (random), of the commonest topic (popular), of its own
        (adversarial)."""
        if category == "random":
            candidates = self.unlike
        elif category == "popular":
            topics = Counter(stamp.topic for stamp in self.unlike)
            candidates = [s for s in self.unlike if s.topic == max(topics, key=topics.__getitem__)]
        else:
            candidates = [s for s in self.unlike if s.topic == self.stamp.topic]
        return rng.choice(candidates) if candidates else None

    def choice(self, rng: random.Random) -> Choice | None:
        wrong = sorted({stamp.italian for stamp in self.unlike})
        if not thing_of(self.stamp) or len(wrong) < 3:
            return None
        return make_choice("Che cosa mostra l'immagine?", self.stamp.italian, rng.sample(wrong, 3), rng)

    def description(self, image: Image.Image) -> str:
        """A long Italian answer of several sentences about the stamp as ``image`` shows it."""
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
    """Write training files and benchmarks to ``folder``; no held-out stamp is among the training stamps.

    What is left out of the stamps is listed with its reason in ``left-out.txt``.

    Raises:
        StampsError: no stamps, or too few that can be used.
    """
    source = find_stamps()
    stamps, left_out = read_stamps(source)
    left_out += [
        f"{s.name}.png: no Italian name for the topic {s.topic}" for s in stamps if s.topic not in TOPICS
    ]
    stamps = [stamp for stamp in stamps if stamp.topic in TOPICS]
    write_text(folder / "left-out.txt", "".join(f"{line}\n" for line in left_out))
    print(f"stamps: {len(stamps)} of {source} used, {len(left_out)} left out, see {folder}/left-out.txt")
    if len(stamps) < FEWEST:
        raise StampsError(
            f"{source}: {len(stamps)} stamps can be used, {FEWEST} are needed (see left-out.txt)"
        )
    rng = random.Random(f"{seed} stamps")
    if fast:
        stamps = rng.sample(stamps, min(FAST_STAMPS, len(stamps)))
    training, held_out = split_stamps(stamps, HELD_OUT, rng)
    _write_training(folder, training, 1 if fast else IMAGES_A_STAMP, seed)
    _write_benchmarks(folder / "benchmarks", held_out, seed)


def thing_of(stamp: Stamp) -> str | None:
    """What the caption names, with its article, as it stands within a sentence."""
    caption = stamp.italian
    return caption[0].lower() + caption[1:-1] if THING.fullmatch(caption) else None


def compose(stamp: Stamp, rng: random.Random) -> Image.Image:
    """The stamp on a light background: size, margins and shade vary, no side is over twice the other."""
    width, height = (side * rng.uniform(1.05, 1.35) for side in stamp.image.size)
    width, height = max(width, height / 2), max(height, width / 2)
    scale = rng.randint(LONG_SIDE // 2, LONG_SIDE) / max(width, height)
    shade = rng.randint(225, 250)
    image = Image.new(
        "RGB", (round(width * scale), round(height * scale)), (shade, shade, rng.randint(225, 250))
    )
    inner = stamp.image.resize([max(1, round(side * scale)) for side in stamp.image.size])
    corner = tuple(rng.randint(0, outer - own) for outer, own in zip(image.size, inner.size, strict=True))
    image.paste(inner, corner, inner)
    return image


def _write_training(folder: Path, stamps: list[Stamp], images: int, seed: int) -> None:
    rng, asking = random.Random(f"{seed} training images"), random.Random(f"{seed} questions")
    described, subjects = [], []
    for number, stamp in enumerate(stamps):
        subject = Subject(stamp, stamps)
        for view in range(images):
            image = compose(stamp, rng)
            name = save_image(folder / "images", f"stamp-{number:04d}-{view}", image)
            english = stamp.english or f"A picture of {stamp.topic}."
            described.append(Described(name, english, stamp.italian, subject.description(image)))
            subjects.append((name, subject))
    ask = {
        "topic": Subject.topic,
        "colour": Subject.colour,
        "presence": lambda subject: subject.present_or_absent(asking),
        "name": Subject.name,
        "fruit": Subject.fruit,
        "choice": lambda subject: subject.choice(asking),
    }
    write_stages(folder, described, short_answers(subjects, ask, ASKED, asking), rng)


def _write_benchmarks(folder: Path, stamps: list[Stamp], seed: int) -> None:
    rng = random.Random(f"{seed} test images")
    subjects = list(enumerate(Subject(stamp, stamps) for stamp in stamps))
    images = [compose(stamp, rng) for stamp in stamps]
    exam = Exam(
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
    write_exam(folder, exam, rng)


def _presence(subjects: list[tuple[int, Subject]], rng: random.Random) -> Iterator[tuple[int, Question, str]]:
    """For every image and category one question about what is there and one about what is not."""
    for index, subject in subjects:
        for category in CATEGORIES:
            absent = subject.absent(category, rng)
            if absent is not None and thing_of(subject.stamp):
                yield index, subject.presence(subject.stamp), category
                yield index, subject.presence(absent), category
