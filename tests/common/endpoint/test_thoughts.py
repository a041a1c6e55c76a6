"""Answers behind thoughts, as each family of models writes them."""

from __future__ import annotations

import pytest

from ndino.common.endpoint.thoughts import MARKS, begun_thought, without_thought

GPT_OSS = (
    "<|channel|>analysis<|message|>Vediamo.<|end|><|start|>assistant<|channel|>final<|message|>Un gatto."
)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Un gatto.", "Un gatto."),
        (" Un gatto\n", " Un gatto\n"),
        ("", ""),
        *((f"{begin}Vediamo.\n{end}\n\nUn gatto.", "Un gatto.") for begin, end in MARKS),
        *((f"{begin}Vediamo: un", None) for begin, _ in MARKS),
        # Qwen3-Thinking and DeepSeek-R1: the thought begins in the prompt.
        *((f"Vediamo.\n{end}\n\nUn gatto.", "Un gatto.") for _, end in MARKS),
        *((f"{begin}Vediamo.{end}", "") for begin, end in MARKS),
        (GPT_OSS, "Un gatto."),
        ("<|channel|>final<|message|>Un gatto.", "Un gatto."),
        ("<think>a</think>Un <think>b</think>gatto.", "Un gatto."),
        ("Un gatto.<think>o un", None),
        ("<think>un <think> dentro</think>Un gatto.", "Un gatto."),
        ("2 < 3 e [4] <tag>", "2 < 3 e [4] <tag>"),
    ],
)
def test_the_answer_is_what_is_outside_thoughts(said: str, answer: str | None) -> None:
    assert without_thought(said) == answer


def test_a_prompt_may_begin_a_thought() -> None:
    assert begun_thought("<|im_start|>assistant\n<think>\n") == "<think>"
    assert begun_thought("<|im_start|>assistant\n<think>\n\n</think>\n\n") == ""
    assert begun_thought("") == ""
