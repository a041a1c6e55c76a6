"""The paper's two instructions, which follow a question in its prompt."""

from __future__ import annotations

from ndino.languages.language import language

SHORT_ANSWER: str = language("it").words["short_answer"]
LETTER_ANSWER: str = language("it").letter_answer
