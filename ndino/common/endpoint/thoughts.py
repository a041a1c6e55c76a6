"""What a model thinks before it answers, where that stands in the same text as the answer."""

from __future__ import annotations

# The beginning and the end of a thought: Qwen3, DeepSeek, GLM and most others; Claude's kind; EXAONE Deep;
# Seed-OSS; Magistral; Kimi-VL; Command A; Gemma 4; gpt-oss, whose answer has a channel of its own.
MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)


def without_thought(text: str) -> str | None:
    """``text`` without what is between the marks of a thought; None where a thought has no end.

    An end alone is one whose beginning was in the prompt. A text without marks stays as it is.
    """
    answer = text
    for begin, end in MARKS:
        while end in answer:
            thought, _, behind = answer.partition(end)
            before, begun, _ = thought.partition(begin)
            answer = (before if begun else "") + behind.lstrip()
        if begin in answer:
            return None
    return answer


def begun_thought(prompt: str) -> str:
    """The beginning of a thought with which a prompt ends; empty where it ends with none."""
    return next((begin for begin, _ in MARKS if prompt.rstrip().endswith(begin)), "")
