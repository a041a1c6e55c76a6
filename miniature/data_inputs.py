"""Make small sources in their published formats from what Debian has: captioned stamps, a translated book.

INPUTS/wit.tsv.gz           a WIT table: the stamps with their captions, and rows of other languages
INPUTS/the_cauldron/        Parquet: English questions about the stamps in the format of three of its tasks
INPUTS/lmms-lab/            Parquet: English questions with the columns of SEED-Bench and POPE
INPUTS/MTVQA/               Parquet: questions about the stamps with MTVQA's columns, in the language
INPUTS/conversations.json   LLaVA JSON of English conversations, with INPUTS/images/
INPUTS/captions.json        LLaVA JSON of English captions, with the same images
INPUTS/pdfs/                the Debian reference in the language, where Debian has it
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from miniature.debian_files import has_reference, reference_pdf
from miniature.worlds.questions import make_choice
from miniature.worlds.stamp_files import StampsError, TuxpaintStamp, find_stamps, read_stamps
from miniature.worlds.stamps import StampQuestions, compose
from miniature.worlds.training_files import save_image
from ndino.common.files import atomic_file, write_json
from ndino.data.sources.wit_table import COLUMNS
from ndino.formats.llava_json import write_conversations
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.languages.lexicon import TOPICS, StampWords, stamp_words

STAMPS = 120
MADE = "made.json"  # written last; if it exists, the inputs are complete
UNUSED_TOPICS = ("symbols",)  # letters and digits
ENGLISH_TOPICS = {"naturalforces": "forces of nature"}
THING = re.compile(r"(An?) ([a-z]+(?: [a-z]+){0,2})\.")
# Rows of other languages, which the command must skip, and a missing image, whose row it must reject.
OTHER_LANGUAGES = ("en", "fr", "de", "it")
MISSING_IMAGE = "gone.png"


class InputsError(ValueError):
    """The sources cannot be those that are there; the message includes a remedy."""


def make_inputs(folder: Path, *, lang: str, seed: int, say: Callable[[str], object] = print) -> None:
    """Write all sources except the WIT table, which needs the address of a running server.

    Raises:
        StampsError, DebianError: a package cannot be downloaded, or has too few stamps.
        InputsError: the folder has sources in another language.
        LanguageError: the language has no words for the stamps.
    """
    if (folder / MADE).is_file():
        # Earlier versions made Italian ones and did not say so.
        held = json.loads((folder / MADE).read_text(encoding="utf-8")).get("lang", "it")
        if held != lang:
            raise InputsError(f"{folder}: sources in {held}, not {lang} (remedy: choose another --out)")
        return
    words = stamp_words(lang)
    pdf = reference_pdf(lang, say) if has_reference(lang) else None
    stamps = choose_stamps(find_stamps(say), words, seed)
    images = folder / "images"
    rng = random.Random(f"{seed} images of the data demo")
    names = [save_image(images, f"{number:012d}", compose(stamp, rng)) for number, stamp in enumerate(stamps)]
    _write_cauldron(folder / "the_cauldron", stamps, [images / name for name in names], rng)
    _write_benchmarks(folder / "lmms-lab", stamps, [images / name for name in names], rng)
    _write_mtvqa(folder / "MTVQA", stamps, [images / name for name in names], words)
    for file, row in (("conversations.json", _conversation), ("captions.json", _caption)):
        write_conversations(folder / file, map(row, stamps, names))
    if pdf is not None:
        with atomic_file(folder / "pdfs" / pdf.name) as temporary:
            shutil.copyfile(pdf, temporary)
    write_json(folder / MADE, {"lang": lang, "seed": seed, "stamps": [stamp.name for stamp in stamps]})


def choose_stamps(folder: Path, words: StampWords, seed: int) -> list[TuxpaintStamp]:
    """Choose stamps with captions in both languages, in a seeded order. Raises StampsError for too few."""
    stamps, _ = read_stamps(folder, words)
    usable = [s for s in stamps if s.english and s.topic in TOPICS and s.topic not in UNUSED_TOPICS]
    if len(usable) < STAMPS:
        raise StampsError(
            f"{folder}: {len(usable)} usable stamps, {STAMPS} are needed (remedy: use a larger set of stamps)"
        )
    return random.Random(f"{seed} stamps of the data demo").sample(usable, STAMPS)


def write_wit(path: Path, stamps: Sequence[TuxpaintStamp], server: str, words: StampWords) -> None:
    """Write the WIT table. Image addresses are ``server`` and the file's path below the stamps folder."""
    others = _other_languages(words)
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    for number, stamp in enumerate(stamps):
        image = f"{server}/{stamp.name}.png"
        table.writerow(_wit_row(words.code, stamp, image, stamp.caption, _section(stamp, words)))
        table.writerow(_wit_row(others[number % len(others)], stamp, image, stamp.english, stamp.english))
    first = stamps[0]
    missing = f"{server}/{MISSING_IMAGE}"
    table.writerow(_wit_row(words.code, first, missing, first.caption, _section(first, words)))
    with atomic_file(path) as temporary:
        # Without a time stamp, equal tables are equal files.
        temporary.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def _wit_row(language: str, stamp: TuxpaintStamp, image: str, caption: str, section: str) -> list[str]:
    fields = dict.fromkeys(COLUMNS, "")
    fields |= {
        "language": language,
        "page_url": f"https://{language}.example.org/wiki/{stamp.topic}",
        "image_url": image,
        "page_title": stamp.topic,
        "caption_reference_description": caption,
        "mime_type": "image/png",
        "original_height": str(stamp.image.height),
        "original_width": str(stamp.image.width),
        "is_main_image": "true",
        "attribution_passes_lang_id": "true",
        "page_changed_recently": "true",
        "context_section_description": section,
    }
    return list(fields.values())


def _other_languages(words: StampWords) -> list[str]:
    return [code for code in OTHER_LANGUAGES if code != words.code][:3]


def _section(stamp: TuxpaintStamp, words: StampWords) -> str:
    return StampQuestions(stamp, (), words).description(stamp.image)


def _topic(stamp: TuxpaintStamp) -> str:
    return ENGLISH_TOPICS.get(stamp.topic, stamp.topic)


def _write_cauldron(
    folder: Path, stamps: Sequence[TuxpaintStamp], images: Sequence[Path], rng: random.Random
) -> None:
    """Write three tasks of The Cauldron: short answers, long answers, lettered options."""
    captions = sorted({stamp.english for stamp in stamps})
    topics = sorted({_topic(stamp) for stamp in stamps})
    rows: dict[str, list[dict]] = {"cocoqa": [], "localized_narratives": [], "visual7w": []}
    for stamp, image in zip(stamps, images, strict=True):
        asked = [
            ("What is the topic of the picture?\nOne or two words.", f"{_topic(stamp).capitalize()}."),
            ("Is there a drawing in the picture?\nOne word is enough.", "Yes."),
        ]
        described = [("Tell me in a sentence what can be seen here.", stamp.english)]
        chosen = [
            _lettered("What does the picture show?", stamp.english, captions, rng),
            _lettered("What is the topic of the picture?", _topic(stamp), topics, rng),
        ]
        for task, texts in zip(rows, (asked, described, chosen), strict=True):
            rows[task].append(
                {
                    "images": [_cell(image)],
                    "texts": [
                        {"user": user, "assistant": assistant, "source": task} for user, assistant in texts
                    ],
                }
            )
    for task, content in rows.items():
        _write_parquet(folder / task / "train-00000-of-00001.parquet", content)


def _lettered(question: str, right: str, all_options: Sequence[str], rng: random.Random) -> tuple[str, str]:
    wrong = rng.sample([option for option in all_options if option != right], 3)
    choice = make_choice(question, right, wrong, rng)
    options = "".join(f"{letter}. {option}\n" for letter, option in zip("ABCD", choice.options, strict=True))
    user = f"Question: {question}\nChoices:\n{options}Write only a letter."
    return user, f"Answer: {choice.answer}"


def _write_benchmarks(
    folder: Path, stamps: Sequence[TuxpaintStamp], images: Sequence[Path], rng: random.Random
) -> None:
    """Write SEED-Bench (the caption among four) and POPE (a thing that is there, and one that is not)."""
    captions = sorted({stamp.english for stamp in stamps})
    things = sorted({thing for stamp in stamps if (thing := _thing(stamp))})
    seed_bench, pope = [], []
    for number, (stamp, image) in enumerate(zip(stamps, images, strict=True)):
        wrong = rng.sample([caption for caption in captions if caption != stamp.english], 3)
        choice = make_choice("What does the picture show?", stamp.english, wrong, rng)
        options = {f"choice_{letter}": option for letter, option in zip("abcd", choice.options, strict=True)}
        row = {"question_id": str(number), "question": choice.text, "answer": choice.answer, **options}
        seed_bench.append({**row, "image": [_cell(image)], "data_type": "image"})
        own = _thing(stamp)
        if own is None or len(things) < 2:
            continue
        absent = rng.choice([thing for thing in things if thing != own])
        for thing, answer in ((own, "yes"), (absent, "no")):
            question = f"Does the image show {thing}?"
            row = {"question_id": str(len(pope)), "question": question, "answer": answer}
            pope.append({**row, "image": _cell(image), "category": "random"})
    for name, rows in (("SEED-Bench", seed_bench), ("POPE", pope)):
        _write_parquet(folder / name / "data" / "test-00000-of-00001.parquet", rows)


def _thing(stamp: TuxpaintStamp) -> str | None:
    """What the English caption names, with its article, as used inside a sentence; None if nothing."""
    found = THING.fullmatch(stamp.english)
    return f"{found[1].lower()} {found[2]}" if found else None


def _write_mtvqa(
    folder: Path, stamps: Sequence[TuxpaintStamp], images: Sequence[Path], words: StampWords
) -> None:
    """Write questions answered by the stamps' captions; every fourth row is marked as another language's."""
    other = _other_languages(words)[1]
    rows = []
    for number, (stamp, image) in enumerate(zip(stamps, images, strict=True)):
        subject = StampQuestions(stamp, (), words)
        asked = [question for question in (subject.topic(), subject.name()) if question]
        pairs = [{"question": question.text, "answer": question.answer} for question in asked]
        rows.append(
            {
                "id": str(number),
                "image": _cell(image),
                # The published data set has a Python list written as a string.
                "qa_pairs": repr(pairs),
                "lang": other if number % 4 == 3 else words.code,
            }
        )
    _write_parquet(folder / "data" / "train-00000-of-00001.parquet", rows)


def _cell(image: Path) -> dict:
    return {"bytes": image.read_bytes(), "path": None}


def _write_parquet(path: Path, rows: list[dict]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_file(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)


def _conversation(stamp: TuxpaintStamp, image: str) -> dict:
    width, height = stamp.image.size
    form = "wider than it is tall" if width > height else "taller than it is wide"
    return {
        "id": image.removesuffix(".png"),
        "image": image,
        "conversations": [
            {"from": "human", "value": f"{IMAGE_TOKEN}\nWhat does the picture show?"},
            {"from": "gpt", "value": f"{stamp.english}\n\nThe drawing is {form}."},
            {"from": "human", "value": "What is the topic of the picture?"},
            {"from": "gpt", "value": f"The topic of the picture is: {_topic(stamp)}."},
        ],
    }


def _caption(stamp: TuxpaintStamp, image: str) -> dict:
    return {
        "id": image.removesuffix(".png"),
        "image": image,
        "conversations": [
            {"from": "human", "value": f"Describe the picture.\n{IMAGE_TOKEN}"},
            {"from": "gpt", "value": stamp.english},
        ],
    }
