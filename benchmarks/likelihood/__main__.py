"""Multiple choice by likelihood, questions per CPU second: llava_next_it against lmms-eval's llava_hf.

    python -m benchmarks.likelihood                  1 and 18 questions per image; about six minutes
    python -m benchmarks.likelihood --questions 18 --turns 1

llava_next_it reads an image and each question once, and takes the probabilities of all letters from what it
has read. lmms-eval's own way, ``output_type: multiple_choice``, is a request for each letter; llava_hf reads
image, question and letter anew for each, and the letter with the lowest loss is the choice. Both have the
same weights, prompts and questions, on one thread, in turns; the lowest CPU time of each counts.

llava_hf needs two things for that. Its context is a text with ``<image>`` but no image, which the processors
of transformers 5 refuse: that check is switched off. And by itself it also counts the end of the answer that
the chat template writes behind a letter: it is given a template that writes none, so that both compare
letters.

Goal: 3 times llava_hf's speed with 1 question per image, 30 times with 18, with the letters of each question
in the same order of likelihood. Each case prints a line of JSON, the last case last: ``name``, ``ratio``,
``goal``, ``equal`` (same orders) and ``conditions``.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Literal

from lmms_eval.api.instance import Instance
from lmms_eval.models.simple.llava_hf import LlavaHf
from lmms_eval.models.simple.llava_next_it import LlavaNextIt

from benchmarks.evaluate import SHAPES, documents, run_cases
from ndino.formats.prompts import END_OF_TURN, LLAMA3_CHAT_TEMPLATE

GOALS = {1: 3.0, 18: 30.0}
LETTERS = "ABCD"
INSTRUCTION = "\nRispondi utilizzando la lettera dell'opzione corretta."
END = "{{ '" + END_OF_TURN + "' }}"
# Without the end of a last message of the assistant, which is the letter.
NO_END = LLAMA3_CHAT_TEMPLATE.replace(
    END, "{% if message['role'] != 'assistant' or not loop.last %}" + END + "{% endif %}"
)


def questions_of(number: int, images: int) -> list[dict]:
    """Those of `benchmarks.evaluate`, as multiple choice among four of its shapes, other ones for each."""
    asked = []
    for place, row in enumerate(documents(number, images)):
        options = [SHAPES[(place * 3 + n * (1 + place % 5)) % len(SHAPES)] for n in range(len(LETTERS))]
        lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True)]
        question = row["question"].partition("\n")[0]
        asked.append({**row, "question": "\n".join([question, *lines]) + INSTRUCTION})
    return asked


def requests(
    asked: list[dict], kind: Literal["generate_until", "loglikelihood"], *arguments: Any
) -> list[Instance]:
    """As lmms-eval makes them: one for each question and each of the ``arguments``."""
    return [
        Instance(
            kind,
            (row["question"], argument, lambda found: [found["image"]], number, "task", "test"),
            place,
            {"task": "task", "doc_id": number, "repeats": 1},
        )
        for number, row in enumerate(asked)
        for place, argument in enumerate(arguments)
    ]


def our_orders(model: LlavaNextIt, asked: list[dict]) -> list[str]:
    """The letters of each question, the likeliest first."""
    model.generate_until(requests(asked, "generate_until", {"letters": LETTERS}))
    noted = model.letters["task"]
    return [
        "".join(sorted(LETTERS, key=noted[place].__getitem__, reverse=True)) for place in range(len(asked))
    ]


def their_orders(model: LlavaHf, asked: list[dict]) -> list[str]:
    """The same of lmms-eval's losses, which are means over all tokens that it counts."""
    # It writes a space before each choice.
    found = model.loglikelihood(requests(asked, "loglikelihood", *(f" {letter}" for letter in LETTERS)))
    losses = [loss for loss, _ in found]
    starts = range(0, len(losses), len(LETTERS))
    own = (dict(zip(LETTERS, losses[start : start + len(LETTERS)], strict=True)) for start in starts)
    return ["".join(sorted(LETTERS, key=values.__getitem__)) for values in own]


def compare(ours: LlavaNextIt, theirs: LlavaHf, number: int, turns: int) -> dict[str, Any]:
    """Measure both sides, in turns, with this number of questions per image; returns what to print."""
    images = 8 if number == 1 else 1
    asked = questions_of(number, images)
    processor: Any = theirs._image_processor
    processor.validate_inputs = lambda **given: None
    for model in (ours, theirs):
        model.task_dict = {"task": {"test": asked}}
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    ordered: dict[str, list[str]] = {}
    for _ in range(turns):
        for name, order in (
            ("ours", lambda: our_orders(ours, asked)),
            ("theirs", lambda: their_orders(theirs, asked)),
        ):
            started = time.process_time()
            ordered[name] = order()
            seconds[name].append(time.process_time() - started)
            print(f"{number} an image, {name}: {seconds[name][-1]:.2f} CPU s", file=sys.stderr, flush=True)
    best = {name: min(values) for name, values in seconds.items()}
    return {
        "name": f"multiple choice by likelihood, {number} question{'s' if number > 1 else ''} an image",
        "ratio": round(best["theirs"] / best["ours"], 2),
        "goal": GOALS.get(number),
        "equal": ordered["ours"] == ordered["theirs"],
        "conditions": {
            "measure": "questions per CPU second, llava_next_it over lmms-eval's llava_hf",
            "questions": len(asked),
            "letters": len(LETTERS),
            "images": images,
            "cpu_seconds": {name: round(value, 2) for name, value in best.items()},
            "different_orders": len({*ordered["theirs"]}),
        },
    }


def main() -> int:
    return run_cases(__doc__, [1, 18], compare, chat_template=NO_END)


if __name__ == "__main__":
    sys.exit(main())
