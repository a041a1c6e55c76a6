from ndino.languages.known.published import published_sets
from ndino.languages.known.tool_codes import TOOLS, known_code


def test_sets_name_languages_that_exist_and_where_they_are_from():
    for name, found in published_sets().items():
        assert name in TOOLS and found.source and found.gives
        assert len({*found.languages}) == len(found.languages) and {*found.rows} <= {*found.languages}
        assert all(known_code("tesseract", code) for code in found.languages)


def test_eur_lex_has_the_languages_of_the_eu():
    languages = published_sets()["eurlex"].languages
    assert len(languages) == 24
    assert {code: known_code("eurlex", code) for code in ("it", "el", "ga")} == {
        "it": "ita",
        "el": "ell",
        "ga": "gle",
    }
