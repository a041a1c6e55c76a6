import pytest

from ndino.languages import language as languages
from ndino.languages.known.locales import decimal_of
from ndino.languages.known.tool_codes import TOOLS, code_for, known_code, script_of_language
from ndino.languages.language import LanguageError, language


@pytest.mark.parametrize(
    ("code", "tool", "name"),
    [
        *(("it", "tesseract", "ita"), ("it", "madlad", "it"), ("it", "exams-v", "Italian")),
        *(("ca", "apertium", "cat"), ("es", "flores", "spa_Latn"), ("es", "eurlex", "spa")),
        # Without a file.
        *(("de", "tesseract", "deu"), ("el", "flores", "ell_Grek"), ("eu", "num2words", "")),
    ],
)
def test_names_are_derived_from_the_code(code, tool, name):
    assert known_code(tool, code) == name


def test_a_file_may_say_another_name_or_none(monkeypatch, tmp_path):
    (tmp_path / "bs.yaml").write_text(
        (languages.FOLDER / "es.yaml").read_text(encoding="utf-8").replace(
            "script: Latn", 'script: Cyrl\ncodes: {tesseract: srp_latn, num2words: "", cldr: en}'
        ),
        encoding="utf-8",
    )  # fmt: skip
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    language.cache_clear()
    names = {tool: known_code(tool, "bs") for tool in ("tesseract", "eurlex", "num2words")}
    assert names == {"tesseract": "srp_latn", "eurlex": "bos", "num2words": ""}
    assert (script_of_language("bs"), script_of_language("ar"), decimal_of("bs")) == ("Cyrl", "Arab", ".")
    language.cache_clear()


def test_a_tool_without_a_name_for_a_language_is_named():
    for tool in ("tesseract", "num2words", "exams-v"):
        with pytest.raises(LanguageError, match=rf"language 'qx': no {TOOLS[tool].name} .*codes: {{{tool}: "):
            code_for(tool, "qx")
