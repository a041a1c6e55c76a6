"""Translating with Apertium."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ndino.data.errors import DataError
from ndino.data.translation.engines import apertium
from ndino.data.translation.engines.apertium import Apertium
from ndino.data.translation.placeholders import labels_pattern
from tests.data.translation.apertium_there import needs_apertium
from tests.properties import examples

BreakAt = Callable[[str], None]


@pytest.fixture(scope="module")
def to_italian() -> Apertium:
    return Apertium("eng", "ita")


@pytest.fixture
def broken_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BreakAt:
    """Makes a pair eng-ita that gives texts back as they are and breaks at those that match."""

    def make(pattern: str) -> None:
        program = tmp_path / "program"
        program.write_text(
            f"#!/bin/sh\nexec awk 'BEGIN {{RS=ORS=\"\\0\"}} /{pattern}/ {{exit 1}} {{print}}'\n"
        )
        program.chmod(0o755)
        (tmp_path / "modes").mkdir()
        (tmp_path / "modes" / "eng-ita.mode").write_text(str(program))
        monkeypatch.setenv("APERTIUM_DATADIR", str(tmp_path))

    return make


class TestApertium:
    pytestmark = needs_apertium

    def test_translates_over_spanish(self, to_italian: Apertium) -> None:
        assert to_italian.modes == ("eng-spa", "spa-ita")
        assert to_italian.translate(["How many dogs are in the house?"]) == ["Quanti cani sono nella casa?"]

    def test_uses_a_direct_pair_if_there_is_one(self) -> None:
        translator = Apertium("eng", "spa")
        assert translator.modes == ("eng-spa",)
        assert translator.translate(["The red houses."]) == ["Las casas rojas."]

    def test_the_stop_at_the_end_is_not_read_with_the_last_word(self, to_italian: Apertium) -> None:
        assert to_italian.translate(["yes or no", "No", "Jan"]) == ["Sì o non", "Non", "Jan"]

    def test_labels_pass_through(self, to_italian: Apertium) -> None:
        text = "In triangle ABC, the angle A is right."
        labelled = Apertium("eng", "ita", labels_pattern(["triangle", "angle"], ["and"]))
        (translated,) = labelled.translate([text])
        assert "ABC" in translated and " A " in translated
        assert " A " not in to_italian.translate([text])[0]

    def test_identity_is_that_of_the_pair_and_its_data(self, to_italian: Apertium) -> None:
        assert to_italian.identity == Apertium("eng", "ita").identity
        assert to_italian.identity != Apertium("eng", "spa").identity
        labelled = Apertium("eng", "ita", labels_pattern(["triangle"], ["and"]))
        assert to_italian.identity != labelled.identity

    @pytest.mark.parametrize(
        "text", ["a ^cat$ [is] {x} \\ / @ # * + ~ | _ <b> </b>", "<image> .[] [] [<", "\\", "^", "~~"]
    )
    def test_apertium_s_markup_characters_are_kept_as_text(self, to_italian: Apertium, text: str) -> None:
        (found,) = to_italian.translate([text])
        kept = [character for character in text if not character.isalnum() and not character.isspace()]
        assert [c for c in found if not c.isalnum() and not c.isspace()] == kept

    @pytest.mark.parametrize(
        "kept",
        [
            "<image>", "{the_name}", "%s", "https://the.cat/a?b=dog&c", "the.cat@house.org",
            r"$A = \frac{1}{2} b h$", r"\[ x^2 \]", "y^2", "range(3)", "`for i in x`",
            '<a href="x.html">', "B",
        ],
    )  # fmt: skip
    def test_placeholders_are_unchanged(self, to_italian: Apertium, kept: str) -> None:
        assert kept in to_italian.translate([f"The cat is at {kept} with the dog."])[0]

    def test_the_locale_does_not_matter(self, to_italian: Apertium, monkeypatch: pytest.MonkeyPatch) -> None:
        there = to_italian.translate(["the café – ‘déjà vu’ 你好"])
        monkeypatch.setenv("LC_ALL", "C")
        assert Apertium("eng", "ita").translate(["the café – ‘déjà vu’ 你好"]) == there
        assert "é" in there[0] and "你好" in there[0]

    @examples(4)
    @given(st.lists(st.text(max_size=40), max_size=20))
    @example(["\0", "", " ", "\n", "\r\n", ".[]", "\u2028", "\ud800", "\x1a\x04", "\\\0"])
    def test_every_text_gets_a_translation(self, to_italian: Apertium, texts: list[str]) -> None:
        assert len(to_italian.translate(texts)) == len(texts)

    def test_no_texts(self, to_italian: Apertium) -> None:
        assert to_italian.translate([]) == []

    def test_a_missing_pair_is_named_with_what_to_install(self) -> None:
        with pytest.raises(DataError, match=r"no pair from eng to deu.*eng-spa.*apt-get install"):
            Apertium("eng", "deu")

    def test_a_broken_pair_is_named(self, broken_at: BreakAt) -> None:
        broken_at("[^\\0]")
        with pytest.raises(DataError, match=r"apertium fails: .*reinstall apertium apertium-eng-ita"):
            Apertium("eng", "ita").translate(["fine", "too"])

    def test_only_the_text_that_breaks_the_pipe_is_lost(self, broken_at: BreakAt) -> None:
        broken_at("poison")
        texts = [f"text {i}" for i in range(9)] + ["a poison pill"] + ["and more"] * 4
        assert Apertium("eng", "ita").translate(texts) == [*texts[:9], "", *texts[10:]]

    def test_a_program_of_the_pair_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        there = shutil.which
        monkeypatch.setattr(shutil, "which", lambda name: None if name == "cg-proc" else there(name))
        with pytest.raises(DataError, match=r"ita-spa and spa-eng needs cg-proc.*apt-get install cg3"):
            Apertium("ita", "eng")
        Apertium("eng", "ita")

    def test_the_program_itself_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(DataError, match=r"apt-get install apertium apertium-eng-spa apertium-spa-ita"):
            Apertium("eng", "ita")


@given(st.text(max_size=60))
def test_markup_is_escaped_and_read_back(text: str) -> None:
    line = apertium._escape(text, None) + apertium.END
    assert apertium._unescape(line) == text.replace("\0", " ")
