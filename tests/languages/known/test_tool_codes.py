import re

import pytest

from ndino.common.errors import UsageError
from ndino.languages import language as languages
from ndino.languages.adding.support import published_rows
from ndino.languages.known.locales import decimal_of
from ndino.languages.known.tool_codes import TOOLS, code_for, known_code, need_code, script_of_language
from ndino.languages.language import LanguageError, language


@pytest.mark.parametrize(
    ("code", "tool", "name"),
    [
        *(("it", "tesseract", "ita"), ("it", "madlad", "it"), ("it", "exams-v", "Italian")),
        *(("ca", "apertium", "cat"), ("es", "flores", "spa_Latn"), ("es", "eurlex", "spa")),
        # Without a file.
        *(("de", "tesseract", "deu"), ("el", "flores", "ell_Grek"), ("eu", "num2words", "")),
        *(("he", "wit", "iw"), ("kk", "num2words", "kz"), ("kk", "madlad", "kk")),
        *(
            ("nb", "wit", "no"),
            ("nb", "num2words", "no"),
            ("nb", "tesseract", "nor"),
            ("nb", "flores", "nob_Latn"),
        ),
        # With a region or a script: what the tool knows of it.
        *(("pt-BR", "num2words", "pt_BR"), ("de-CH", "num2words", "de"), ("fr-CH", "cldr", "fr-CH")),
        *(
            ("pt-BR", "madlad", "pt"),
            ("pt-BR", "wit", "pt"),
            ("zh-Hans-CN", "mtvqa", "zh"),
            ("zh-TW", "wit", "zh-TW"),
        ),
        *(("pt-BR", "tesseract", "por"), ("zh", "tesseract", "chi_sim"), ("zh-TW", "tesseract", "chi_tra")),
        *(
            ("sr-Latn", "tesseract", "srp_latn"),
            ("sr-Cyrl-ME", "tesseract", "srp"),
            ("az-Cyrl", "tesseract", "aze_cyrl"),
        ),
        *(("de-AT", "exams-v", "German"), ("zh-CN", "exams-v", "Chinese"), ("sr-Latn", "num2words", "")),
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


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        *(("PT", "the code is pt"), ("pt_br", "the code is pt-BR"), ("pt-br", "the code is pt-BR")),
        *(("dan", "the code is da"), ("iw", "the code is he"), ("da-Latn", "the code is da")),
        *(
            ("danish", "one by BCP 47, such as es"),
            ("qx", "one by BCP 47, such as es"),
            ("", "one by BCP 47, such as es"),
        ),
        *(("../da", "one by BCP 47, such as es"), ("da/..", "one by BCP 47, such as es")),
    ],
)
def test_a_code_has_one_spelling(code, remedy):
    with pytest.raises(UsageError, match=re.escape(f"{code!r}: not a language code (remedy: {remedy})")):
        need_code(code)


@pytest.mark.parametrize("code", ["da", "pt-BR", "sr-Latn", "zh-Hant", "es-419", "no", "nb"])
def test_codes_as_bcp_47_writes_them_are_taken(code):
    assert need_code(code) == code


def test_published_sets_list_a_language_with_a_region():
    said = {title: count for title, count, _ in published_rows("pt-BR")}
    assert said == {title: count for title, count, _ in published_rows("pt")} and said["WIT"] == "yes"
    assert {count for _, count, _ in published_rows("sr-Latn")} == {"not listed"}
