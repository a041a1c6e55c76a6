"""Generate questions with answers like those of The Cauldron's 15 tasks, as the lines that are translated.

The real data set is only on the hub, so its repetitions are imitated from how its sources were made: CLEVR's
and RAVEN's questions come from templates, people ask about the same things again and again in COCO images,
and descriptions and reports are written once each. A task's share is its first 10,000 rows times its
questions per row (VQAv2 has 443,757 questions on 82,783 images, CLEVR has ten per image, the others are
rounded). The words in a template follow Zipf's law: a few are very frequent, many are rare. Words, templates
and the law are our own choice, so the results show roughly how much a translation memory saves, not the exact
figure on the real rows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

words = str.split
YES_NO = ("Yes", "No")
THINGS = words("""
    man woman dog cat car train bus boat plane bike horse cow sheep elephant zebra giraffe bear bird table
    chair couch bed toilet sink oven fridge clock vase book phone laptop keyboard mouse remote television
    pizza cake sandwich banana apple orange broccoli carrot donut plate bowl cup glass fork knife spoon bottle
    umbrella bag tie hat shirt shoe coat helmet ball kite skateboard surfboard snowboard bench tree flower
    grass sky cloud sun snow sand water wall floor window door building street sign light fence bridge tower
    truck motorcycle
""")
COLOURS = words("white black red blue green brown yellow gray orange pink purple silver")
PLACES = [
    *("on the left", "on the right", "in the background", "in front", "in the middle", "on the table"),
    "in the water",
]
DOING = words(
    "standing sitting walking running eating playing riding holding sleeping flying swimming smiling"
)
CUBES = [
    f"{size} {colour} {stuff} {shape}"
    for size in ("large", "small")
    for colour in ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
    for stuff in ("rubber", "metal")
    for shape in ("cube", "sphere", "cylinder")
]
FINDINGS = words("effusion edema pneumothorax consolidation opacity atelectasis fracture cardiomegaly")
Drawn = Callable[[list[str]], str]


def questions(seed: int, scale: float) -> Iterator[tuple[str, str]]:
    """Pairs of task and line, mixed; ``scale`` 1 is all of the first 10,000 rows of each task."""
    random_ = random.Random(seed)

    def drawn(from_: list[str]) -> str:
        return random_.choices(from_, weights=[1 / rank for rank in range(1, len(from_) + 1)])[0]

    tasks = [name for name, (pairs, _) in TASKS.items() for _ in range(round(pairs * scale))]
    random_.shuffle(tasks)
    for task in tasks:
        question, answer = TASKS[task][1](drawn, random_)
        yield task, f"Question: {question} Answer: {answer}"


def _everyday(drawn: Drawn, r: random.Random) -> tuple[str, str]:
    thing, place, doing = drawn(THINGS), drawn(PLACES), drawn(DOING)
    return r.choices(
        [
            (f"What color is the {thing}?", drawn(COLOURS)),
            (f"Is the {thing} {doing}?", r.choice(YES_NO)),
            (f"Is there a {thing} {place}?", r.choice(YES_NO)),
            (f"How many {thing}s are {place}?", str(min(r.randint(0, 9), r.randint(0, 9)))),
            (f"What is the {thing} doing?", drawn(DOING)),
            (f"What is {place} of the {thing}?", drawn(THINGS)),
            (f"Why is the {thing} {place} {doing} next to the {drawn(THINGS)}?", f"It is {drawn(DOING)}"),
            (
                f"Is the {drawn(COLOURS)} {thing} {place} bigger than the {drawn(THINGS)}?",
                r.choice(YES_NO),
            ),
        ],
        weights=[20, 14, 14, 14, 8, 8, 12, 10],
    )[0]


def _clevr(drawn: Drawn, r: random.Random) -> tuple[str, str]:
    one, other, third = r.sample(CUBES, 3)
    return r.choices(
        [
            (f"How many {one}s do you see?", str(r.randint(0, 3))),
            (f"Do you see more {one}s than {other}s?", r.choice(YES_NO)),
            (
                f"Which shape has the thing that you see past the {one} and left of the {other}?",
                r.choice(["cube", "sphere", "cylinder"]),
            ),
            (
                f"Look at the {one} that stands before the {other}: is it painted like the {third}?",
                r.choice(YES_NO),
            ),
        ],
        weights=[20, 20, 30, 30],
    )[0]


def _written(drawn: Drawn, r: random.Random) -> tuple[str, str]:
    thing, other = drawn(THINGS), drawn(THINGS)
    more = " ".join(r.choice(THINGS) for _ in range(r.randint(12, 60)))
    return (
        "Describe the picture in detail.",
        f"In this picture I can see a {drawn(COLOURS)} {thing} and a {other}, {more}.",
    )


def _counted(drawn: Drawn, r: random.Random) -> tuple[str, str]:
    what = r.choices(
        [drawn(THINGS), f"{drawn(COLOURS)} {drawn(THINGS)}", f"{drawn(THINGS)} {drawn(PLACES)}"], [5, 3, 2]
    )[0]
    return f"How many {what}s are there?", str(min(r.randint(0, 12), r.randint(0, 12)))


def _named(drawn: Drawn, r: random.Random) -> tuple[str, str]:
    return f"What is the {drawn(COLOURS)} {drawn(THINGS)} {drawn(DOING)} {drawn(PLACES)}?", drawn(THINGS)


def _raven(drawn: Drawn, r: random.Random) -> tuple[str, str]:
    return "Which of these figures belongs in the empty field?", r.choice("ABCDEFGH")


def _geometry(drawn: Drawn, r: random.Random) -> tuple[str, str]:
    a, b, c = (r.randint(3, 25) for _ in range(3))
    return (
        f"The green rectangle covers {a * b} and one side is {a}. Where is the angle of {c} degrees?",
        f"The other side is {a * b} / {a} = {b}. So what we looked for is {b}.{c:02d}.",
    )


def _report(drawn: Drawn, r: random.Random) -> tuple[str, str]:
    return (
        "Compare the two scans.",
        f"There is no {drawn(FINDINGS)}. The {drawn(FINDINGS)} on the {r.choice(['left', 'right'])} measures "
        f"{r.randint(2, 90)} mm and has {r.choice(['grown', 'shrunk', 'stayed'])}; {drawn(FINDINGS)} and "
        f"{drawn(FINDINGS)} of {r.randint(2, 90)} mm are new.",
    )


def _sentence(drawn: Drawn, r: random.Random) -> tuple[str, str]:
    count, other = r.choice(["one", "two", "three"]), r.choice(["one", "two", "three"])
    return (
        f"One picture shows {count} {drawn(THINGS)}s {drawn(PLACES)}, and the other shows {other} "
        f"{drawn(COLOURS)} {drawn(THINGS)}s {drawn(DOING)}. Is that right?",
        r.choice(YES_NO),
    )


# Pairs in the first 10,000 rows (fewer rows where the task has fewer), and how one is made.
TASKS = {
    "aokvqa": (10_300, _named),
    "clevr": (100_000, _clevr),
    "cocoqa": (17_000, _everyday),
    "geomverse": (9_300, _geometry),
    "iconqa": (10_900, _counted),
    "intergps": (1_800, _geometry),
    "localized_narratives": (10_000, _written),
    "mimic_cgd": (20_000, _report),
    "nlvr2": (17_000, _sentence),
    "raven": (10_000, _raven),
    "spot_the_diff": (9_500, _written),
    "tallyqa": (18_600, _counted),
    "visual7w": (48_600, _everyday),
    "vqarad": (1_800, _report),
    "vqav2": (53_600, _everyday),
}
