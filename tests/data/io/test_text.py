"""Cleaning and bounding texts from Wikipedia."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ndino.data.io.text import Bounds, TextError, clean, cut_to_bounds
from ndino.languages.language import editors_notes

PIECES = """< > <b <ref> </ref> <image> im age> {{ }} [[ ]] [ ] | '' &amp; &lt; amp; == ( ) , . 1 a <!-- -->
__TOC__ __init__ È"""
MARKUP = st.lists(st.sampled_from([*PIECES.split(), " ", "\n"]), max_size=40).map("".join)


@given(st.text() | MARKUP)
@example("<im<b>age>")
@example("&amp;amp;lt;image>")
@example("a ( ( ) ) .")
@example("[[a|[[b]]]]")
@example("\u0344")
@example("Ãƒ\x83Ã‚Â\u00a0&#195;&#160;")
def test_a_clean_text_is_unchanged(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)


@given(st.text(max_size=300) | MARKUP)
def test_no_control_characters_no_stray_space_no_image_marker(text: str) -> None:
    found = clean(text)
    assert not [c for c in found if unicodedata.category(c) in ("Cc", "Cs", "Co") and c != "\n"]
    assert found == found.strip() and "  " not in found and "\n\n" not in found and " \n" not in found
    assert "<image>" not in found
    found.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L'e\u0301te\u0301", "L'été"),
        ("a\u00a0b\u3000c\td", "a b c d"),
        ("uno\r\ndue\rtre\u2028quattro\x0bcinque", "uno\ndue\ntre\nquattro\ncinque"),
        ("uno\n \n\n due ", "uno\ndue"),
        ("sil\u00adla\u200bba\ufeff\x00\x07", "sillaba"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("Il '''Colosseo''' è ''romano''.", "Il Colosseo è romano."),
        ("[[Roma]] e [[Anfiteatro|un anfiteatro]]", "Roma e un anfiteatro"),
        ("Prima. [[File:a.jpg|thumb|upright=2|una foto]]Dopo.", "Prima. Dopo."),
        ("vedi [https://example.org/a il sito] qui", "vedi il sito qui"),
        ("un fatto [1][23] noto [a].", "un fatto noto."),
        ("a{{cite web|url=x|{{nested}}}}b", "ab"),
        ('testo<ref name="x">fonte</ref> e<ref name="x" /> altro', "testo e altro"),
        ("H<sub>2</sub>O<br/>&egrave; acqua&nbsp;&amp; vita", "H2O\nè acqua & vita"),
        ("Il palazzo<br>vecchio</p><p>di <i>Siena</i><li>uno</li>", "Il palazzo\nvecchio\ndi Siena\nuno"),
        ("nel 1900[nota 2], nel[N 1] 1901 [nb 1][Note 3] [Salmo 23].", "nel 1900, nel 1901 [Salmo 23]."),
        ("thumb|La torre di Pisa", "La torre di Pisa"),
        ("| thumb | right | 200px |alt=a b| La torre | di Pisa", "La torre | di Pisa"),
        ("il thumb e la torre|ponte", "il thumb e la torre|ponte"),
        ("== Storia ==\nNel 1900", "Storia\nNel 1900"),
        ("Dante (, Firenze) e (; ) altro", "Dante (Firenze) e altro"),
        ("3 < 5 e 7 > 2, x = y", "3 < 5 e 7 > 2, x = y"),
        ("l'arte d''oggi", "l'arte doggi"),
        ("__TOC__Testo <!-- nota -->di __init__ [A]", "Testo di __init__ [A]"),
        ("prezzo , euro .", "prezzo, euro."),
        ("45°27'12''N 9°11'24,5''E", "45°27'12''N 9°11'24,5''E"),
        ("''1984'' e '''2001'''", "1984 e 2001"),
        (r"L'area x 2 {\displaystyle x^{2}} o {\textstyle {\frac {a}{b}}} qui", "L'area x 2 o qui"),
        ("guarda <image> qui", "guarda qui"),
        ("CittÃ\u00a0 di Roma, perchÃ© no: caffÃƒÂ¨", "Città di Roma, perché no: caffè"),
        ("lâ€™arte costa 5 â‚¬, Ãˆ vero", "l’arte costa 5 €, È vero"),
        ("São Tomé, «É così», “Å”, 5 Â", "São Tomé, «É così», “Å”, 5 Â"),
        ("", ""),
    ],
)
def test_what_is_cleaned_and_what_is_not(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://it.wikipedia.org/wiki/File:Torre.jpg", "only an address"),
        ("www.example.org/pagina-lunga", "only an address"),
        ("Torre_di_Pisa_2010_vista_nord.jpg", "only a file name"),
        ("File:Torre di Pisa, vista da nord.JPEG", "only a file name"),
    ],
)
def test_addresses_and_file_names_are_no_text(text: str, reason: str) -> None:
    with pytest.raises(TextError) as rejected:
        cut_to_bounds(clean(text), Bounds(8, 1000))
    assert rejected.value.reason == reason


@pytest.mark.parametrize(
    "text", ["La torre, da https://example.org/torre", "DSC00123.JPG, la torre di Pisa", "La torre di Pisa. "]
)
def test_texts_that_name_an_address_or_a_file_stay(text: str) -> None:
    assert cut_to_bounds(clean(text), Bounds(8, 1000)) == text.strip()


def test_editors_notes_in_brackets_are_removed_and_other_brackets_stay() -> None:
    text = "Nato nel 1900 [senza fonte], morto [Senza fonte da 2 anni] «[il re] disse»."
    assert clean(text, editors_notes("it")) == "Nato nel 1900, morto «[il re] disse»."
    assert clean("Born in 1900. [citation needed]", editors_notes("en")) == "Born in 1900."
    assert clean(text, editors_notes("xx")) == text


def test_a_long_text_ends_with_a_sentence() -> None:
    text = "Prima frase. Seconda frase! Terza frase che non ci sta."
    assert cut_to_bounds(text, Bounds(5, 30)) == "Prima frase. Seconda frase!"
    assert (
        cut_to_bounds("Art. 3.14 di una legge senza fine e senza punto", Bounds(8, 20)) == "Art. 3.14 di una"
    )
    assert cut_to_bounds("一二三四五。六七八九十", Bounds(3, 8)) == "一二三四五。"
    assert cut_to_bounds("a" * 50, Bounds(5, 30)) == "a" * 30


def test_short_texts_and_figures_are_rejected() -> None:
    for text, reason in (
        ("Sì", "text too short"),
        ("12.5 | 13,7 | 14 – 15.2", "hardly a letter in the text"),
    ):
        with pytest.raises(TextError) as error:
            cut_to_bounds(text, Bounds(5, 30))
        assert error.value.reason == reason


@given(st.text(min_size=1, max_size=400), st.integers(1, 20), st.integers(0, 60))
def test_bounds_hold(text: str, least: int, more: int) -> None:
    try:
        found = cut_to_bounds(clean(text), Bounds(least, least + more))
    except TextError:
        return
    assert least <= len(found) <= least + more and found == found.strip()
