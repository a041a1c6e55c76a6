"""Asks a judge for the verdicts that are missing; each is in its file as soon as it is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from ndino.common.endpoint.thoughts import without_thought
from ndino.common.files import key_of
from ndino.judge.judges import Judge
from ndino.judge.prompts import JudgedItem, JudgePrompt
from ndino.judge.verdicts import JudgeVerdict, VerdictFile


def verdict_key(judge: Judge, prompt: JudgePrompt, item: JudgedItem) -> str:
    """The key of a verdict: equal keys, equal verdicts."""
    return key_of(judge.identity, prompt.identity, item.question, item.references, item.answer)


def judge_items(
    judge: Judge,
    prompt: JudgePrompt,
    items: Mapping[int, JudgedItem],
    file: VerdictFile,
    known: MutableMapping[str, JudgeVerdict],
    line_of: Callable[[int], Mapping[str, Any]],
) -> dict[int, JudgeVerdict]:
    """The verdicts on ``items``, by their numbers; ``file`` has a line for each of them then, in their order.

    An empty answer is wrong without asking. Equal answers to equal questions are asked once, and the judge a
    second time for a rating that it has not given.

    Args:
        known: verdicts by key; gets the new ones.
        line_of: what a line says of an item besides its verdict.

    Raises:
        JudgeError: the judge cannot be asked; what it has said by then is in the file.
    """
    keys = {number: verdict_key(judge, prompt, item) for number, item in items.items()}
    numbers: dict[str, list[int]] = {}
    for number, key in keys.items():
        numbers.setdefault(key, []).append(number)
        if not items[number].answer.strip():
            known[key] = JudgeVerdict(0.0, "")

    def line(number: int) -> dict[str, Any]:
        key = keys[number]
        return {**line_of(number), "verdict": known[key].value, "raw": known[key].raw, "key": key}

    # Without what a kill has cut, and verdicts on answers that have changed.
    file.write(line(number) for number, key in keys.items() if key in known)
    missing = [key for key in numbers if key not in known]
    with _bar(len(missing)) as bar:

        def keep(key: str, verdict: JudgeVerdict) -> None:
            known[key] = verdict
            file.append(map(line, numbers[key]))
            bar.update()

        def request(key: str) -> str:
            return prompt.text(items[numbers[key][0]])

        def take(place: int, said: str | None) -> None:
            keep(missing[place], JudgeVerdict(None if said is None else prompt.verdict(said), said))

        if missing:
            judge.ask([[request(key)] for key in missing], take)
        unrated = {key: said for key in numbers if (said := _without_rating(known[key], prompt))}

        def take_rating(place: int, said: str | None) -> None:
            if said is not None:
                key = [*unrated][place]
                both = f"{known[key].raw}\n\n{prompt.reminder}\n{said}"
                keep(key, JudgeVerdict(prompt.verdict(said), both))

        if unrated:
            bar.total += len(unrated)
            judge.ask([[request(key), said, prompt.reminder] for key, said in unrated.items()], take_rating)
        if missing or unrated:
            file.write(map(line, keys))
    return {number: known[key] for number, key in keys.items()}


def _without_rating(verdict: JudgeVerdict, prompt: JudgePrompt) -> str:
    """What the judge wrote in place of a rating; empty where there is one, or it was asked for it already."""
    if verdict.value is not None or prompt.reminder in (verdict.raw or ""):
        return ""
    return (without_thought(verdict.raw or "") or "").strip()


def _bar(total: int) -> Any:
    from tqdm import tqdm

    from ndino.evaluation.progress import DELAY_SECONDS, patience

    return tqdm(
        total=total,
        desc="Judging",
        unit="answer",
        file=sys.stderr,
        delay=DELAY_SECONDS,
        mininterval=patience(),
        leave=False,
    )
