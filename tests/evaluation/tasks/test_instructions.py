from __future__ import annotations

from ndino.evaluation.tasks import instructions
from ndino.languages.language import language


def test_the_papers_instructions_come_from_the_italian_words():
    assert instructions.SHORT_ANSWER == "\nRispondi utilizzando una sola parola o frase."
    assert instructions.LETTER_ANSWER == "\nRispondi utilizzando la lettera dell'opzione corretta."
    words = language("it")
    assert (words.words["short_answer"], words.letter_answer) == (
        instructions.SHORT_ANSWER,
        instructions.LETTER_ANSWER,
    )
