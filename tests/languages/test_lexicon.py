"""The miniature's words: complete in the files that have them, and every fault is named by its key."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from ndino.common.parsing import NOT_NAMES
from ndino.languages import language as languages
from ndino.languages.language import LanguageError, language
from ndino.languages.lexicon import lexicon, lexicon_faults, stamp_faults, stamp_words
from tests.languages.shipped import SHIPPED

OPTIONAL = ("fruits", "articles", "small_words", "endings")


def leaves(found: Mapping[str, Any], *above: str) -> Iterator[tuple[str, ...]]:
    for key, value in found.items():
        if isinstance(value, Mapping):
            yield from leaves(value, *above, key)
        else:
            yield *above, key


def without(found: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(dict(found))
    table = changed
    for key in path[:-1]:
        table = table[key]
    del table[path[-1]]
    return changed


@pytest.mark.parametrize("code", SHIPPED)
def test_a_file_that_the_kit_comes_with_is_complete(code):
    assert lexicon(code).code == stamp_words(code).code == code
    assert len(set(lexicon(code).signs)) == 40


def test_every_key_that_is_missing_is_named():
    whole = language("es").miniature
    for path in leaves(whole):
        if path[0] == "stamps" and path[1] in OPTIONAL:
            assert not stamp_faults(without(whole, path))
            continue
        faults = (stamp_faults if path[0] == "stamps" else lexicon_faults)(without(whole, path))
        assert f"miniature.{'.'.join(path)} is missing" in faults, path
        assert len(faults) == 1, faults


def test_a_phrase_that_only_a_sentence_names_is_asked_of_every_shape():
    found = {**language("es").miniature, "absent": "No hay {genitive}."}
    assert lexicon_faults(found) == [
        f"miniature.shapes.{shape}.genitive is missing" for shape in ("circle", "square", "triangle", "star")
    ]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"place_question": "¿Qué figura?"}, "miniature.place_question has no {place}"),
        ({"sign_caption": "{word} {x}"}, "miniature.sign_caption cannot have {x}"),
        (
            {"caption": "{"},
            "miniature.caption has a brace without its partner, or more in braces than a name",
        ),
        *(
            ({key: text}, f"miniature.{key} {NOT_NAMES}")
            for key in ("caption", "colour_question", "place_question")
            for text in (
                "{shapes",
                "shapes}",
                "{shapes:>9}",
                "{shapes!r}",
                "{shapes[0]}",
                "{shapes.x}",
                "{}",
                "{0}",
            )
        ),
        (
            {"signs": ["BAR"] * 9 + ["RESTAURANTE"]},
            'miniature.signs has "RESTAURANTE", not up to 8 letters in capitals',
        ),
        ({"signs": ["bar"]}, 'miniature.signs has "bar", not up to 8 letters in capitals'),
        ({"count_question": "¿Cuántas?\n"}, r"""miniature: "¿Cuántas?\n" has the control character '\n'"""),
        ({"absent": "Nada."}, "miniature.absent names no phrase of a shape in braces, such as {definite}"),
        ({"numbers": ["una", "dos"]}, "miniature.numbers has 2 texts, not 4, for one to 4 shapes"),
        ({"signs": "BAR"}, "miniature.signs is not a list in brackets"),
        ({"counts": ["a", "b", "c", True]}, "miniature.counts: True is not a text (quote it)"),
        (
            {"colours": {"red": "rojo", "green": "verde", "blue": "Verde", "yellow": "amarillo"}},
            "miniature.colours: green and blue are both 'Verde'",
        ),
    ],
)
def test_what_contradicts_itself_is_named(changed, fault):
    assert fault in lexicon_faults({**language("es").miniature, **changed})


def test_a_fruit_of_an_unknown_colour_is_named():
    found = copy.deepcopy(dict(language("es").miniature))
    found["stamps"]["fruits"]["gold"] = "dátil"
    assert stamp_faults(found)[0].startswith("miniature.stamps.fruits.gold is not a colour among black, ")


def test_a_file_without_the_section_is_one_clear_line(monkeypatch, tmp_path):
    file = languages.FOLDER / "es.yaml"
    fields = yaml.safe_load(file.read_text(encoding="utf-8"))
    del fields["miniature"]
    (tmp_path / "xx.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    for load, said in ((lexicon, "miniature is missing"), (stamp_words, "miniature.stamps is missing")):
        with pytest.raises(
            LanguageError, match=rf"^language 'xx': {said} \(remedy: complete ndino/lang.*xx.yaml"
        ):
            load("xx")
    language.cache_clear()


def test_scores_do_not_depend_on_the_miniatures_words():
    assert "miniature" not in language("es").words
