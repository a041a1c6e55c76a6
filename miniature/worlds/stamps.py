"""Build the stamps world: real images with their own captions in a language, topics and colours.

There are few stamps for so many topics, and the benchmarks show only things that never occur in training.
Most scores are therefore close to guessing, which the shuffled control shows. This world exercises the
pipeline on real data; it does not measure the recipes.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path

from PIL import Image

from miniature.worlds.benchmark_files import CATEGORIES, BenchmarkContent, write_benchmark_files
from miniature.worlds.questions import ChoiceQuestion, WorldQuestion, make_choice
from miniature.worlds.stamp_colours import colour_shares
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
from ndino.languages.lexicon import TOPICS, StampWords, lexicon, stamp_words

HELD_OUT = 0.15  # share of the stamps
IMAGES_PER_STAMP = 4
FEWEST, FAST_STAMPS = 40, 150
# Share of the pixels from which a colour is the main one, and from which a further colour is mentioned.
CLEAR, MENTIONED = 0.5, 0.15
# Questions per image in the instruction stage, by kind.
QUESTIONS_PER_IMAGE = {"topic": 2, "colour": 2, "presence": 1, "name": 1, "fruit": 0.25, "choice": 0.25}


class StampQuestions:
    """The questions about a stamp in a language.

    ``others`` are the stamps on its side of the split, for wrong options.
    """

    def __init__(self, stamp: TuxpaintStamp, others: Sequence[TuxpaintStamp], words: StampWords) -> None:
        self.stamp, self._others, self._words = stamp, others, words

    @cached_property
    def colours(self) -> list[tuple[str, float]]:
        """Colours of STAMP_COLOURS with their shares, largest first."""
        return colour_shares(self.stamp.image, self._words)

    @cached_property
    def unlike(self) -> list[TuxpaintStamp]:
        """Stamps that show something else: from another folder, and with no caption word in common."""
        return [
            other
            for other in self._others
            if thing_of(other, self._words)
            and other.place != self.stamp.place
            and not other.stems & self.stamp.stems
        ]

    def topic(self) -> WorldQuestion:
        return WorldQuestion("topic", self._words.topic_question, self._words.topics[self.stamp.topic])

    def colour(self) -> WorldQuestion | None:
        main = self._clear_colour()
        if main is None:
            return None
        return WorldQuestion("colour", self._words.colour_question, self._words.colours[main])

    def fruit(self) -> WorldQuestion | None:
        """Ask for a fruit of the same colour: needs knowledge from outside the image, as OK-VQA does."""
        fruit = self._words.fruits.get(self._clear_colour() or "")
        return WorldQuestion("fruit", self._words.fruit_question, fruit) if fruit else None

    def _clear_colour(self) -> str | None:
        return self.colours[0][0] if self.colours and self.colours[0][1] >= CLEAR else None

    def name(self) -> WorldQuestion | None:
        found = _thing(self.stamp.caption, self._words)
        return WorldQuestion("name", self._words.name_question, found[1]) if found else None

    def presence(self, thing: TuxpaintStamp) -> WorldQuestion:
        """Ask whether the image shows what the caption of ``thing`` names, as POPE does."""
        answer = self._words.yes if thing is self.stamp else self._words.no
        asked = self._words.presence_question.format(thing=thing_of(thing, self._words))
        return WorldQuestion("presence", asked, answer)

    def present_or_absent(self, rng: random.Random) -> WorldQuestion | None:
        if not thing_of(self.stamp, self._words) or not self.unlike:
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
        wrong = sorted({stamp.caption for stamp in self.unlike})
        if not thing_of(self.stamp, self._words) or len(wrong) < 3:
            return None
        return make_choice(self._words.name_question, self.stamp.caption, rng.sample(wrong, 3), rng)

    def description(self, image: Image.Image) -> str:
        """A long answer of several sentences about the stamp as composed in ``image``."""
        words = self._words
        sentences = [words.topic.format(topic=words.topics[self.stamp.topic]), self.stamp.caption]
        names = [
            words.colours[name]
            for index, (name, share) in enumerate(self.colours)
            if not index or share >= MENTIONED
        ]
        if names[1:]:
            others = words.colour_joint.join(names[1:3])
            sentences.append(words.more_colours.format(colour=names[0], others=others))
        elif names:
            sentences.append(words.one_colour.format(colour=names[0]))
        shape = image.width / image.height
        if shape > 1.15:
            sentences.append(words.wide)
        else:
            sentences.append(words.tall if shape < 0.87 else words.square)
        return " ".join(sentences)


def prepare(folder: Path, *, lang: str, seed: int, fast: bool) -> None:
    """Write training files and benchmarks to ``folder``. Held-out stamps do not occur in training.

    Stamps that are left out are listed with the reason in ``left-out.txt``.

    Raises:
        StampsError: there are no stamps, or too few usable ones.
        LanguageError: the language has no words for this world.
    """
    words = stamp_words(lang)
    source = find_stamps()
    stamps, left_out = read_stamps(source, words)
    left_out += [f"{s.name}.png: no name for the topic {s.topic}" for s in stamps if s.topic not in TOPICS]
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
    _write_training(folder, training, 1 if fast else IMAGES_PER_STAMP, words, seed)
    _write_benchmarks(folder / "benchmarks", held_out, words, seed)


def thing_of(stamp: TuxpaintStamp, words: StampWords) -> str | None:
    """What the caption names, with its article, as used inside a sentence; None if it names nothing.

    "Una mela rossa." names a thing, "Ricordati di tirare lo sciacquone!" does not.
    """
    found = _thing(stamp.caption, words)
    return found and "".join(found)


def _thing(caption: str, words: StampWords) -> tuple[str, str] | None:
    """(article with the space behind it, name) of a caption that names a thing."""
    found = _naming(words.articles).fullmatch(caption)
    if found is None:
        return None
    article, name = found.groups()
    # Without an article, the name's own first letter is a capital because it begins the caption.
    return (article[0].lower() + article[1:], name) if article else ("", name[0].lower() + name[1:])


@cache
def _naming(articles: tuple[str, ...]) -> re.Pattern[str]:
    starts = [article if article.endswith("'") else f"{article} " for article in articles]
    either = "|".join(re.escape(start[0].upper() + start[1:]) for start in starts)
    return re.compile(rf"({either})(\S+(?: \S+){{0,3}})\.")


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


def _write_training(
    folder: Path, stamps: list[TuxpaintStamp], images: int, words: StampWords, seed: int
) -> None:
    drawn = lexicon(words.code)
    rng, asking = random.Random(f"{seed} training images"), random.Random(f"{seed} questions")
    described, subjects = [], []
    for number, stamp in enumerate(stamps):
        subject = StampQuestions(stamp, stamps, words)
        for view in range(images):
            image = compose(stamp, rng)
            name = save_image(folder / "images", f"stamp-{number:04d}-{view}", image)
            english = stamp.english or f"A picture of {stamp.topic}."
            described.append(DescribedImage(name, english, stamp.caption, subject.description(image)))
            subjects.append((name, subject))
    ask = {
        "topic": StampQuestions.topic,
        "colour": StampQuestions.colour,
        "presence": lambda subject: subject.present_or_absent(asking),
        "name": StampQuestions.name,
        "fruit": StampQuestions.fruit,
        "choice": lambda subject: subject.choice(asking),
    }
    short = short_answers(subjects, ask, QUESTIONS_PER_IMAGE, drawn, asking)
    write_training_files(folder, described, short, drawn, rng)


def _write_benchmarks(folder: Path, stamps: list[TuxpaintStamp], words: StampWords, seed: int) -> None:
    rng = random.Random(f"{seed} test images")
    subjects = list(enumerate(StampQuestions(stamp, stamps, words) for stamp in stamps))
    images = [compose(stamp, rng) for stamp in stamps]
    content = BenchmarkContent(
        images,
        [stamp.caption for stamp in stamps],
        [subject.description(images[index]) for index, subject in subjects],
        gqa=[(i, asked) for i, subject in subjects for asked in (subject.topic(), subject.colour()) if asked],
        ok_vqa=[
            (i, asked) for i, subject in subjects for asked in (subject.name(), subject.fruit()) if asked
        ],
        pope=list(_presence(subjects, words, rng)),
        seed_bench=[(i, asked) for i, subject in subjects if (asked := subject.choice(rng))],
    )
    write_benchmark_files(folder, content, lexicon(words.code), rng)


def _presence(
    subjects: list[tuple[int, StampQuestions]], words: StampWords, rng: random.Random
) -> Iterator[tuple[int, WorldQuestion, str]]:
    """Yield, for every image and category, a question about what is there and one about what is not."""
    for index, subject in subjects:
        for category in CATEGORIES:
            absent = subject.absent(category, rng)
            if absent is not None and thing_of(subject.stamp, words):
                yield index, subject.presence(subject.stamp), category
                yield index, subject.presence(absent), category
