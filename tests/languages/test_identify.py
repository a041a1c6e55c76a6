"""Which language a text is in, by length."""

from __future__ import annotations

import pytest

from ndino.languages.identify import in_language, is_known, language_of, other_language, scripts_of

SENTENCES = {
    "it": "Che cosa tiene in mano l'uomo con la giacca rossa?",
    "en": "What is the man in the red jacket holding in his hand?",
    "fr": "Que tient dans sa main l'homme à la veste rouge ?",
    "es": "¿Qué sostiene en la mano el hombre de la chaqueta roja?",
    "ru": "Что держит в руке мужчина в красной куртке?",
    "ja": "赤い上着の男性は手に何を持っていますか？",
}


@pytest.mark.parametrize("wanted", SENTENCES)
@pytest.mark.parametrize("spoken", SENTENCES)
def test_a_sentence_is_in_its_language_and_in_no_other(wanted: str, spoken: str) -> None:
    found = other_language(SENTENCES[spoken], wanted)
    assert (found is None) is (spoken == wanted)
    assert in_language(SENTENCES[spoken], wanted) is (spoken == wanted)


@pytest.mark.parametrize("text", ["Un cane", "pizza", "", "12", "The Beatles", "Mount Everest, 8848 m"])
def test_what_is_short_or_a_name_is_in_any_language(text: str) -> None:
    assert in_language(text, "it")


@pytest.mark.parametrize(
    "text", ["Церковь", "出口", "View of the old bridge", "Vue du village depuis la colline"]
)
def test_captions_of_other_languages(text: str) -> None:
    assert not in_language(text, "it")


def test_a_language_that_is_not_known_refuses_nothing() -> None:
    assert scripts_of("xx-none") == frozenset()
    assert in_language("What is the man holding?", "xx")


def test_a_language_with_a_region_is_told_as_without_and_keeps_its_code() -> None:
    for code, spoken in (("es-MX", "es"), ("fr-CA", "fr")):
        assert is_known(code) and language_of(SENTENCES[spoken], code) == code
        assert language_of(SENTENCES["it"], code) == "it"
        assert in_language(SENTENCES[spoken], code) and other_language(SENTENCES["en"], code) == "en"


def test_a_language_in_another_script_than_py3langid_learned_refuses_nothing() -> None:
    assert not is_known("sr-Latn") and in_language("Šta čovek u crvenoj jakni drži u ruci?", "sr-Latn")
