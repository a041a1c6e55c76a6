from __future__ import annotations

import pytest

from ndino.evaluation.tasks.framework import instructions
from ndino.languages.language import LanguageError, codes
from tests.languages.copies import language_file

SHORT = "\nRispondi utilizzando una sola parola o frase."
LETTER = "\nRispondi utilizzando la lettera dell'opzione corretta."


def test_the_papers_instructions_come_from_the_italian_words():
    assert (instructions.short_answer("it"), instructions.letter_answer("it")) == (SHORT, LETTER)


@pytest.mark.parametrize("instruction", [SHORT, LETTER, ""])
def test_the_question_of_a_prompt_is_what_stands_before_the_instruction(instruction):
    assert instructions.without_instruction(f"Di che colore è?{instruction}", "it") == "Di che colore è?"


def test_a_file_that_is_too_short_for_tasks_is_refused_with_all_that_it_lacks(monkeypatch, tmp_path):
    language_file(monkeypatch, tmp_path, "zz", without=("markers", "short_answer", "reading"))
    with pytest.raises(LanguageError, match=r"'zz': has no tasks without markers, short_answer, reading \("):
        instructions.require_tasks("zz")
    with pytest.raises(LanguageError, match=rf"'zy': not among {', '.join(codes())} \(remedy: "):
        instructions.require_tasks("zy")


def test_the_request_for_a_caption_is_the_languages_and_a_language_without_one_is_told(monkeypatch, tmp_path):
    assert instructions.caption_request("it") == "Descrivi questa immagine in una frase."
    language_file(monkeypatch, tmp_path, "zx", without=("caption_request",))
    instructions.require_tasks("zx")
    with pytest.raises(LanguageError, match=r"'zx': caption_request is missing \(remedy: add it to "):
        instructions.caption_request("zx")
