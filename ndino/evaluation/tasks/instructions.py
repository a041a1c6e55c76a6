"""The tasks' language, and the paper's two instructions, which follow a question in its prompt."""

from __future__ import annotations

from ndino.languages.language import language

LANGUAGE = "it"
SHORT_ANSWER: str = language(LANGUAGE).words["short_answer"]
LETTER_ANSWER: str = language(LANGUAGE).letter_answer
